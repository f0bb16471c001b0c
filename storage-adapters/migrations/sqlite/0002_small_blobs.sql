-- The bytes of small blobs that came whole with one request. A row belongs to its blob alone and goes with it.
CREATE TABLE small_blobs (
  blob_id INTEGER PRIMARY KEY REFERENCES blobs (id) ON DELETE CASCADE,
  body BLOB NOT NULL
) STRICT;
