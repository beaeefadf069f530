"""What is asked of a held guest, whoever asks: the commands of the shell and the library."""
