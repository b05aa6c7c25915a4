CREATE TABLE meta (k TEXT PRIMARY KEY, v TEXT NOT NULL);
CREATE TABLE instances (id TEXT PRIMARY KEY, started_at BIGINT NOT NULL, ended_at BIGINT NOT NULL DEFAULT 0);

CREATE TABLE inbox (
  id {{serial}}, k TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, body TEXT NOT NULL, at BIGINT NOT NULL,
  owner TEXT NOT NULL DEFAULT '', done_at BIGINT NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT '');
CREATE INDEX inbox_open ON inbox (id) WHERE done_at = 0;

CREATE TABLE runs (
  id TEXT PRIMARY KEY, playbook TEXT NOT NULL, tunnel TEXT NOT NULL, by_user TEXT NOT NULL, human BIGINT NOT NULL,
  request TEXT NOT NULL, card TEXT NOT NULL, state TEXT NOT NULL, owner TEXT NOT NULL DEFAULT '',
  joined TEXT NOT NULL DEFAULT '[]', created_at BIGINT NOT NULL, ended_at BIGINT NOT NULL DEFAULT 0,
  error TEXT NOT NULL DEFAULT '', report TEXT NOT NULL DEFAULT '');
CREATE UNIQUE INDEX runs_one_per_tunnel ON runs (tunnel) WHERE state IN ('queued', 'running');
CREATE INDEX runs_by_tunnel ON runs (tunnel, created_at);
CREATE INDEX runs_by_user ON runs (by_user, created_at);
CREATE TABLE run_steps (run TEXT NOT NULL, step TEXT NOT NULL, state TEXT NOT NULL, data {{blob}}, at BIGINT NOT NULL, PRIMARY KEY (run, step));
CREATE TABLE run_files (run TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, data {{blob}}, PRIMARY KEY (run, kind, name));
CREATE TABLE findings (
  id {{serial}}, run TEXT NOT NULL, rank BIGINT NOT NULL, tunnel TEXT NOT NULL, at BIGINT NOT NULL, finding TEXT NOT NULL,
  title TEXT NOT NULL, severity TEXT NOT NULL, confidence {{real}} NOT NULL, body TEXT NOT NULL);
CREATE INDEX findings_by_tunnel ON findings (tunnel, at);

CREATE TABLE messages (
  id {{serial}}, k TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, channel TEXT NOT NULL, parent TEXT NOT NULL DEFAULT '',
  thread TEXT NOT NULL DEFAULT '', usr TEXT NOT NULL DEFAULT '', hook TEXT NOT NULL DEFAULT '', body TEXT NOT NULL, data {{blob}},
  version BIGINT NOT NULL, sent BIGINT NOT NULL DEFAULT 0, trying BIGINT NOT NULL DEFAULT 0, ts TEXT NOT NULL DEFAULT '',
  file TEXT NOT NULL DEFAULT '', not_before BIGINT NOT NULL DEFAULT 0, attempts BIGINT NOT NULL DEFAULT 0,
  failed TEXT NOT NULL DEFAULT '', urgent BIGINT NOT NULL DEFAULT 0, created_at BIGINT NOT NULL, sent_at BIGINT NOT NULL DEFAULT 0);
CREATE INDEX messages_open ON messages (channel, id) WHERE sent < version AND failed = '';
CREATE INDEX messages_ts ON messages (channel, ts);

CREATE TABLE tunnels (
  name TEXT PRIMARY KEY, state TEXT NOT NULL, since BIGINT NOT NULL, seen_at BIGINT NOT NULL, detail TEXT NOT NULL DEFAULT '',
  incident TEXT NOT NULL DEFAULT '', body TEXT NOT NULL DEFAULT '{}');
CREATE TABLE transitions (id {{serial}}, tunnel TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, at BIGINT NOT NULL, detail TEXT NOT NULL DEFAULT '');
CREATE INDEX transitions_by_tunnel ON transitions (tunnel, at);
CREATE TABLE mutes (tunnel TEXT PRIMARY KEY, until BIGINT NOT NULL, by_user TEXT NOT NULL, reason TEXT NOT NULL);

CREATE TABLE proposals (
  id TEXT PRIMARY KEY, run TEXT NOT NULL, tunnel TEXT NOT NULL, requester TEXT NOT NULL, state TEXT NOT NULL, sum TEXT NOT NULL,
  body TEXT NOT NULL, joined TEXT NOT NULL DEFAULT '[]', approver TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
  outcome TEXT NOT NULL DEFAULT '', owner TEXT NOT NULL DEFAULT '', created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL,
  approved_at BIGINT NOT NULL DEFAULT 0, started_at BIGINT NOT NULL DEFAULT 0, ended_at BIGINT NOT NULL DEFAULT 0,
  changed_at BIGINT NOT NULL, drawn BIGINT NOT NULL DEFAULT 0);
CREATE INDEX proposals_open ON proposals (state, tunnel);
CREATE TABLE commands (
  proposal TEXT NOT NULL, n BIGINT NOT NULL, device TEXT NOT NULL, line TEXT NOT NULL, sum TEXT NOT NULL, state TEXT NOT NULL,
  owner TEXT NOT NULL DEFAULT '', claimed_at BIGINT NOT NULL DEFAULT 0, output TEXT NOT NULL DEFAULT '', output_sum TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (proposal, n));
CREATE INDEX commands_by_device ON commands (device, claimed_at);

CREATE TABLE lent (
  id {{serial}}, device TEXT NOT NULL, name TEXT NOT NULL, interface TEXT NOT NULL, context TEXT NOT NULL,
  started_at BIGINT NOT NULL, owner TEXT NOT NULL DEFAULT '', returned_at BIGINT NOT NULL DEFAULT 0);

CREATE TABLE audit (
  seq BIGINT PRIMARY KEY, at BIGINT NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL,
  details TEXT NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL);
