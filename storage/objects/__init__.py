"""Object storage: named byte strings in a bucket, kept by an S3 endpoint or in a local folder."""
