-- Old lines of the audit are found by their time, to be purged. A block-range index costs an issue nothing; lines come
-- about in the order of time. Writers wait while it is made: about a second for a million keys.
CREATE INDEX audit_by_time ON audit USING brin (happened_on);
