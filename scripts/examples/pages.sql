-- What `ptlive export pages.parquet` writes, asked with DuckDB. Columns: ptlive/show/data/README.md.
-- Run it in the duckdb shell, or by pages.py, which puts the file's name in.

-- By rights: how many pages and bytes, and how much of that was accessed and written to.
SELECT printf('%#x', root) AS root, "user", "write", execute,
       count(*) AS pages,
       sum(page_size) AS bytes,
       coalesce(sum(page_size) FILTER (accessed), 0) AS accessed_bytes,
       coalesce(sum(page_size) FILTER (dirty), 0) AS dirty_bytes
FROM read_parquet('pages.parquet')
WHERE kind = 'leaf'
GROUP BY ALL
ORDER BY 1, bytes DESC;

-- Writable and executable at once: each page.
SELECT printf('%#x', root) AS root, printf('%#x', va) AS va, page_size, printf('%#x', pa) AS pa, area
FROM read_parquet('pages.parquet')
WHERE kind = 'leaf' AND "write" AND execute
ORDER BY 1, va;

-- Frames that a user-mode page can write and that other addresses reach as well: which, how often.
-- A large page covers 512 or 262144 frames, so that the pages' ranges are compared, not their starts.
WITH pages AS (
    SELECT root, va, pa, pa + page_size - 1 AS last_pa, "user", "write"
    FROM read_parquet('pages.parquet')
    WHERE kind = 'leaf' AND target = 'RAM'
)
SELECT printf('%#x', mine.va) AS va, printf('%#x', mine.pa) AS pa, count(*) AS also_at
FROM pages AS mine
JOIN pages AS other
  ON other.pa <= mine.last_pa AND other.last_pa >= mine.pa
 AND (other.root, other.va) <> (mine.root, mine.va)
WHERE mine."user" AND mine."write"
GROUP BY mine.root, mine.va, mine.pa
ORDER BY also_at DESC, mine.va
LIMIT 20;
