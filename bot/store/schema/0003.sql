-- The devices took all commands of a running repair: its verification can be taken up again.
ALTER TABLE proposals ADD COLUMN accepted TEXT NOT NULL DEFAULT '';
