use super::store::FILE_NAME;
use super::*;
use serinus_models::{ServiceTick, Timestamp};
use serinus_rollout::{Phase, Record, RecordKind, Scheme, ServiceState};
use serinus_routing::Weight;
use std::fs;
use std::sync::mpsc;

const SOON: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn record(at: u64, kind: RecordKind, phase: Phase) -> Record {
    let mut state = ServiceState::idle("1.8.2".into(), Timestamp(at));
    state.canary_version = Some("1.9.0".into());
    state.phase = phase;
    state.weight = Weight::from_percent(10.0).unwrap();
    Record {
        at: Timestamp(at),
        kind,
        service: Some("checkout".into()),
        text: format!("at {at}"),
        state: Some(state),
        evaluation: None,
        details: serde_json::Value::Null,
        config_hash: "0123456789abcdef".into(),
    }
}

fn started(at: u64) -> Record {
    record(at, RecordKind::RolloutStarted, Phase::Progressing)
}

fn rolled_back(at: u64) -> Record {
    record(at, RecordKind::RolledBack, Phase::RolledBack)
}

/// A journal with the answers it gives.
struct Bench {
    journal: Journal,
    answers: mpsc::Receiver<Answer>,
    restored: Option<Restored>,
    next: u64,
}

fn start(directory: &Path) -> Bench {
    let (sender, answers) = mpsc::channel();
    let answer = move |answer| drop(sender.send(answer));
    let (journal, restored) = Journal::start_with(directory, SOON, answer).unwrap();
    let next = restored.as_ref().map_or(1, |restored| restored.last_id + 1);
    Bench { journal, answers, restored, next }
}

impl Bench {
    /// Appends and waits for the answer: whether it is on the disk.
    fn append(&mut self, record: Record) -> bool {
        let id = self.next;
        self.next += 1;
        assert!(self.journal.append(Line { ticket: Some(id), id, record }));
        loop {
            match self.answers.recv_timeout(PATIENCE).unwrap() {
                Answer::Durable(ticket) if ticket == id => return true,
                Answer::NotDurable(ticket) if ticket == id => return false,
                _ => {}
            }
        }
    }

    fn append_until_durable(&mut self, record: Record) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !self.append(record.clone()) {
            assert!(std::time::Instant::now() < deadline, "{:?}", self.journal.health.load());
            std::thread::sleep(SOON);
        }
    }

    fn why(&self) -> String {
        match &**self.journal.health.load() {
            Health::Working => String::new(),
            Health::Failing { why, .. } => why.clone(),
        }
    }

    fn phase(&self) -> Option<Phase> {
        self.restored.as_ref()?.states().first().map(|(_, state)| state.phase)
    }
}

#[test]
fn a_restart_goes_on_from_the_last_state_and_the_next_number() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = start(directory.path());
    assert!(first.append(started(1)));
    assert!(first.append(rolled_back(2)));
    let mut note = record(3, RecordKind::AnomalyCleared, Phase::Progressing);
    note.state = None;
    assert!(first.append(note));
    drop(first);

    let second = start(directory.path());
    assert_eq!(second.phase(), Some(Phase::RolledBack));
    assert_eq!(second.next, 4);
}

#[test]
fn records_are_readable_beside_the_writer_and_come_back_whole() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = start(directory.path());
    for at in 1..=5 {
        assert!(bench.append(started(at)));
    }
    let reader = Reader::open(directory.path()).unwrap();
    let ids = |selection: &Selection| -> Vec<u64> {
        reader.list(selection).unwrap().into_iter().map(|entry| entry.id).collect()
    };
    assert_eq!(ids(&Selection { limit: 2, ..Selection::default() }), [4, 5]);
    assert_eq!(ids(&Selection { limit: 2, after: Some(1), ..Selection::default() }), [2, 3]);
    let other = Selection { service: Some("other".into()), limit: 9, after: None };
    assert_eq!(ids(&other), [0u64; 0]);
    assert_eq!(reader.get(3).unwrap(), Some(Entry { id: 3, record: started(3) }));
    assert_eq!(reader.get(9).unwrap(), None);
}

#[test]
fn a_torn_last_commit_costs_that_commit_alone() {
    let directory = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let mut bench = start(directory.path());
    assert!(bench.append(started(1)));
    let before = fs::metadata(wal(directory.path())).unwrap().len();
    assert!(bench.append(rolled_back(2)));
    // What a power cut leaves: the log ends within its last commit.
    for file in [FILE_NAME.to_owned(), format!("{FILE_NAME}-wal")] {
        fs::copy(directory.path().join(&file), copy.path().join(&file)).unwrap();
    }
    let torn = fs::File::options().write(true).open(wal(copy.path())).unwrap();
    torn.set_len(before + 100).unwrap();

    let mut after = start(copy.path());
    assert_eq!(after.phase(), Some(Phase::Progressing));
    assert!(after.append(rolled_back(3)));
}

fn wal(directory: &Path) -> std::path::PathBuf {
    directory.join(format!("{FILE_NAME}-wal"))
}

#[test]
fn a_damaged_file_is_refused_in_words_and_a_new_one_begun_once_it_is_moved_away() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE_NAME);
    fs::write(&path, "this is not a database, however long it may be".repeat(200)).unwrap();
    let mut bench = start(directory.path());
    assert!(bench.restored.is_none());
    assert!(!bench.append(started(1)));
    assert!(
        bench.why().contains("is damaged") && bench.why().contains("move it away"),
        "{}",
        bench.why()
    );
    assert_eq!(fs::read(&path).unwrap()[..4], *b"this", "the evidence stays");

    fs::rename(&path, directory.path().join("journal.damaged")).unwrap();
    bench.append_until_durable(started(2));
    assert_eq!(bench.why(), "");
}

#[test]
fn a_state_directory_that_cannot_be_used_is_tried_until_it_can() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let mut earlier = start(&state);
    assert!(earlier.append(rolled_back(1)));
    drop(earlier);
    let away = directory.path().join("away");
    fs::rename(&state, &away).unwrap();
    fs::write(&state, "in the way").unwrap();

    let mut bench = start(&state);
    assert!(bench.restored.is_none());
    assert!(!bench.append(started(2)), "nothing exposing happens unseen");
    assert!(bench.why().contains("state directory"), "{}", bench.why());

    fs::remove_file(&state).unwrap();
    fs::rename(&away, &state).unwrap();
    let opened = loop {
        if let Answer::Opened(restored) = bench.answers.recv_timeout(PATIENCE).unwrap() {
            break restored;
        }
    };
    assert_eq!(opened.states()[0].1.phase, Phase::RolledBack);
}

#[test]
fn a_file_that_is_removed_while_in_use_is_begun_anew_with_the_last_states() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = start(directory.path());
    assert!(bench.append(rolled_back(1)));
    for file in fs::read_dir(directory.path()).unwrap() {
        let path = file.unwrap().path();
        if !path.ends_with("lock") {
            fs::remove_file(path).unwrap();
        }
    }
    let mut note = record(2, RecordKind::EpisodeLabelled, Phase::RolledBack);
    note.state = None;
    note.details = serde_json::json!({ "label": "sustained" });
    bench.append_until_durable(note);
    drop(bench);
    assert_eq!(start(directory.path()).phase(), Some(Phase::RolledBack));
}

#[test]
fn a_record_that_was_late_is_not_the_last_word() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = start(directory.path());
    assert!(bench.append(rolled_back(20)));
    assert!(bench.append(record(10, RecordKind::Withdrawn, Phase::Progressing)));
    drop(bench);
    assert_eq!(start(directory.path()).phase(), Some(Phase::RolledBack));
}

#[test]
fn a_second_process_does_not_write_into_the_same_journal() {
    let directory = tempfile::tempdir().unwrap();
    let first = start(directory.path());
    let mut second = start(directory.path());
    assert!(!second.append(started(1)));
    assert!(second.why().contains("another serinus process"), "{}", second.why());
    drop(first);
    second.append_until_durable(started(2));
}

#[test]
fn episodes_are_kept_with_their_label() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = start(directory.path());
    let mut labelled = record(1, RecordKind::EpisodeLabelled, Phase::RolledBack);
    labelled.details = serde_json::json!({ "label": "transient", "checkpoints": [] });
    assert!(bench.append(labelled));
    let connection = rusqlite::Connection::open(directory.path().join(FILE_NAME)).unwrap();
    let row: (String, String) = connection
        .query_row("SELECT service, label FROM episodes", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(row, ("checkout".to_owned(), "transient".to_owned()));
}

/// What is kept of what was heard: number, time, kind.
fn heard_in(directory: &Path) -> Vec<(u64, u64, String)> {
    let connection = rusqlite::Connection::open(directory.join(FILE_NAME)).unwrap();
    let mut statement =
        connection.prepare("SELECT id, at, kind, body FROM heard ORDER BY id").unwrap();
    let rows = statement.query_map([], |row| {
        let body: String = row.get(3)?;
        let heard: Heard = serde_json::from_str(&body).unwrap();
        let kind: String = row.get(2)?;
        assert_eq!(heard.kind(), kind);
        Ok((row.get(0)?, row.get(1)?, kind))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

fn configured() -> Heard {
    let config_hash = "0123456789abcdef".into();
    Heard::Configured(Scheme { config_hash, services: Vec::new(), model: None })
}

fn seen() -> Heard {
    let tick = ServiceTick { span_ms: 1_000, ..ServiceTick::default() };
    Heard::Observed { service: "checkout".into(), tick }
}

#[test]
fn what_a_decision_rests_on_is_on_the_disk_with_it_in_the_order_in_which_it_was_heard() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = start(directory.path());
    bench.journal.hear(Timestamp(1), configured());
    bench.journal.hear(Timestamp(2), seen());
    bench.journal.hear(Timestamp(2), Heard::Tick);
    assert!(bench.append(rolled_back(2)));
    let found: Vec<String> = heard_in(directory.path()).into_iter().map(|row| row.2).collect();
    assert_eq!(found, ["configured", "observed", "tick"]);
}

#[test]
fn what_was_heard_is_kept_for_a_week_and_the_configuration_that_was_in_force_then_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = start(directory.path());
    let day = 24 * 3_600 * 1_000;
    for (at, heard) in [
        (0, configured()),
        (1, seen()),
        (day, configured()),
        (2 * day, seen()),
        (8 * day, seen()),
        (10 * day, seen()),
    ] {
        bench.journal.hear(Timestamp(at), heard);
    }
    assert!(bench.append(rolled_back(10 * day)));
    drop(bench);
    let mut store = super::store::Store::open(directory.path()).unwrap();
    for _ in 0..3 {
        store.tidy().unwrap();
        // What is gone between the two leaves its mark.
        assert_eq!(
            heard_in(directory.path()),
            [
                (3, day, "configured".to_owned()),
                (4, day, "lost".to_owned()),
                (5, 8 * day, "observed".to_owned()),
                (6, 10 * day, "observed".to_owned())
            ]
        );
    }
}

#[test]
fn old_decisions_go_but_never_the_last_word_of_a_service_and_the_file_shrinks() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = start(directory.path());
    let year = 365 * 24 * 3_600 * 1_000;
    let mut long = started(1);
    long.text = "a".repeat(4_000_000);
    long.service = Some("other".into());
    assert!(bench.append(long));
    let mut labelled = record(2, RecordKind::EpisodeLabelled, Phase::RolledBack);
    labelled.details = serde_json::json!({ "label": "transient", "checkpoints": [] });
    labelled.state = None;
    for record in [labelled, rolled_back(3), Record { service: Some("other".into()), ..started(4) }]
    {
        assert!(bench.append(record));
    }
    bench.journal.hear(Timestamp(2 * year), seen());
    let mut note = record(2 * year, RecordKind::AnomalyCleared, Phase::Progressing);
    note.state = None;
    assert!(bench.append(note));
    drop(bench);
    let file = directory.path().join(FILE_NAME);
    let before = fs::metadata(&file).unwrap().len();
    let mut store = super::store::Store::open(directory.path()).unwrap();
    while !store.tidy().unwrap() {}
    drop(store);
    let reader = Reader::open(directory.path()).unwrap();
    let left = reader.list(&Selection { limit: 9, ..Selection::default() }).unwrap();
    assert_eq!(left.iter().map(|entry| entry.id).collect::<Vec<_>>(), [3, 4, 5]);
    let after = fs::metadata(&file).unwrap().len();
    assert!(after < before / 4, "{before} bytes before, {after} after");
    assert_eq!(start(directory.path()).phase(), Some(Phase::RolledBack));
}

#[test]
fn what_was_heard_while_the_disk_failed_is_written_later_and_what_is_lost_leaves_a_mark() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    fs::write(&state, "in the way").unwrap();
    let mut bench = start(&state);
    bench.journal.hear(Timestamp(0), configured());
    for at in 1..=super::queue::MAX_HEARD as u64 {
        bench.journal.hear(Timestamp(at), seen());
    }
    assert!(!bench.append(started(9_999)));
    fs::remove_file(&state).unwrap();
    bench.append_until_durable(started(10_000));
    let found = heard_in(&state);
    assert_eq!(found[0].2, "lost");
    assert_eq!(found.len(), super::queue::MAX_HEARD + 1);
}

#[test]
fn a_journal_begun_anew_knows_the_configuration_in_force_and_that_something_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = start(directory.path());
    bench.journal.hear(Timestamp(1), configured());
    assert!(bench.append(started(1)));
    for entry in fs::read_dir(directory.path()).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with(FILE_NAME) {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    bench.journal.hear(Timestamp(2), seen());
    bench.append_until_durable(rolled_back(2));
    let kinds: Vec<String> = heard_in(directory.path()).into_iter().map(|row| row.2).collect();
    assert_eq!(kinds, ["configured", "lost", "observed"]);
}

#[test]
fn a_journal_of_the_first_version_is_carried_over_with_its_decisions() {
    let directory = tempfile::tempdir().unwrap();
    let old = rusqlite::Connection::open(directory.path().join(FILE_NAME)).unwrap();
    old.execute_batch(include_str!("testdata/version_1.sql")).unwrap();
    drop(old);
    let mut bench = start(directory.path());
    assert_eq!(bench.phase(), Some(Phase::RolledBack));
    assert_eq!(bench.next, 3);
    bench.journal.hear(Timestamp(5), configured());
    assert!(bench.append(started(5)));
    assert_eq!(heard_in(directory.path()).len(), 1);
    drop(bench);
    let connection = rusqlite::Connection::open(directory.path().join(FILE_NAME)).unwrap();
    let pragma = |name: &str| -> i64 {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!((pragma("user_version"), pragma("auto_vacuum")), (2, 2));
}

#[test]
fn what_nobody_brings_again_is_kept_until_it_can_be_written() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    fs::write(&state, "in the way").unwrap();
    let mut bench = start(&state);
    let mut rejected = record(1, RecordKind::ConfigRejected, Phase::Idle);
    (rejected.state, rejected.service) = (None, None);
    assert!(bench.journal.append(Line { ticket: None, id: 1, record: rejected.clone() }));
    bench.next = 2;
    assert!(!bench.append(started(2)));
    fs::remove_file(&state).unwrap();
    bench.append_until_durable(started(3));
    let entries =
        Reader::open(&state).unwrap().list(&Selection { limit: 9, ..Selection::default() });
    assert_eq!(entries.unwrap()[0].record, rejected);
}

#[test]
fn a_journal_of_a_later_version_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    drop(start(directory.path()));
    let path = directory.path().join(FILE_NAME);
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let bench = start(directory.path());
    assert!(bench.why().contains("later version"), "{}", bench.why());
}
