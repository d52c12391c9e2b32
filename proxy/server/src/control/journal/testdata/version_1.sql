-- A journal as the first version of its tables was written.
CREATE TABLE records (
    id       INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL, -- ms since the Unix epoch
    kind     TEXT NOT NULL,
    service  TEXT,
    stateful INTEGER NOT NULL, -- whether the body says where the rollout stands since then
    body     TEXT NOT NULL     -- the whole record, JSON
) STRICT;
CREATE INDEX records_by_service ON records (service, stateful, id);
CREATE TABLE episodes (
    id      INTEGER PRIMARY KEY REFERENCES records (id),
    at      INTEGER NOT NULL,
    service TEXT NOT NULL,
    label   TEXT NOT NULL,
    body    TEXT NOT NULL      -- features, evidence and label, JSON
) STRICT;
CREATE TABLE looks (           -- what the judgement was shown, while a release was on trial
    at      INTEGER NOT NULL,
    service TEXT NOT NULL,
    body    TEXT NOT NULL      -- the tick, JSON
) STRICT;
CREATE INDEX looks_by_time ON looks (at);
INSERT INTO records VALUES (1, 1, 'rollout_started', 'checkout', 1, '{"at":1,"kind":"rollout_started","service":"checkout","text":"at 1","state":{"stable_version":"1.8.2","canary_version":"1.9.0","phase":"progressing","stage":0,"weight":10.0,"stage_started":1,"rollout_started":1,"withdrawn_since":null,"held_since":null,"paused_since":null,"anomalies":0,"anomaly_stage":0},"evaluation":null,"config_hash":"0123456789abcdef"}');
INSERT INTO looks VALUES (2, 'checkout', '{"span_ms":1000,"live":[],"probes":[],"resources":{"stable":{},"canary":{}}}');
INSERT INTO records VALUES (2, 2, 'rolled_back', 'checkout', 1, '{"at":2,"kind":"rolled_back","service":"checkout","text":"at 2","state":{"stable_version":"1.8.2","canary_version":"1.9.0","phase":"rolled_back","stage":0,"weight":0.0,"stage_started":2,"rollout_started":2,"withdrawn_since":null,"held_since":null,"paused_since":null,"anomalies":0,"anomaly_stage":0},"evaluation":null,"config_hash":"0123456789abcdef"}');
PRAGMA user_version = 1;
