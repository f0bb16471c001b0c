-- The bytes of small blobs that came whole with one request. A row belongs to its blob alone and goes with it.
CREATE TABLE small_blobs (
  blob_id BIGINT PRIMARY KEY REFERENCES blobs (id) ON DELETE CASCADE,
  body BYTEA NOT NULL
);
