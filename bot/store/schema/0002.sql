-- Which unit of a failover pair holds a capture.
ALTER TABLE lent ADD COLUMN unit TEXT NOT NULL DEFAULT '';
ALTER TABLE lent ADD COLUMN prompt TEXT NOT NULL DEFAULT '';
