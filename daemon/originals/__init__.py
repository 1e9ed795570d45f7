"""What becomes of a file once its recording has ended: kept, deleted or moved."""
