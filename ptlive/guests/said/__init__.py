"""What guests say on their serial ports, read strictly: a guest may say anything."""
