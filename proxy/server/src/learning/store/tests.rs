use super::*;
use serinus_models::learn::{Frozen, Lesson, train};
use serinus_models::{FEATURE_COUNT, FeatureVector};
use std::sync::LazyLock;

fn prior() -> Arc<Predictor> {
    Arc::new(Predictor::shipped().unwrap())
}

/// A model that was learned from so many lessons.
fn learned(labels: u64) -> Arc<Predictor> {
    let lessons: Vec<Lesson> = (0..labels)
        .map(|at| {
            let value = |feature: usize| {
                Some(((at * 31 + feature as u64 * 7) % 17) as f64 / 17.0 + (at % 2) as f64)
            };
            let features = FeatureVector((0..FEATURE_COUNT).map(value).collect());
            let time = |seconds: u64| Timestamp((at * 3_600 + seconds) * 1_000);
            Lesson {
                id: at,
                service: "shop".into(),
                deployed: time(0),
                alarm_at: time(60),
                labelled_at: time(360),
                sustained: at % 2 == 1,
                // What persons say is believed, however odd.
                corrected: true,
                looks: vec![(0, features)],
            }
        })
        .collect();
    let (prior, frozen) = (prior(), Frozen::of([]));
    Arc::new(train(&lessons, (&prior, &prior), &frozen, 1, &mut |_| true).unwrap())
}

static FIRST: LazyLock<Arc<Predictor>> = LazyLock::new(|| learned(20));
static SECOND: LazyLock<Arc<Predictor>> = LazyLock::new(|| learned(40));

fn roster(champion: &Arc<Predictor>, challengers: &[&Arc<Predictor>]) -> Roster {
    let mut roster = Roster::new(prior());
    roster.champion = champion.clone();
    roster.challengers = challengers.iter().map(|model| (*model).clone()).collect();
    roster.trained = (20, Timestamp(7));
    roster
}

fn ids(roster: &Roster) -> (String, Vec<String>) {
    let on_trial = roster.challengers.iter().map(|model| model.id().to_owned());
    (roster.champion.id().to_owned(), on_trial.collect())
}

#[test]
fn what_was_saved_is_there_after_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let store = ModelStore::of(folder.path());
    assert!(store.load(prior()).0.is_prior());
    let saved = roster(&FIRST, &[&SECOND]);
    store.save(&saved).unwrap();
    let (loaded, troubles) = store.load(prior());
    assert_eq!((ids(&loaded), loaded.trained, troubles), (ids(&saved), saved.trained, vec![]));
    // A champion of the past stays for replays; a challenger that left does not.
    store.save(&roster(&prior(), &[])).unwrap();
    store.save(&roster(&prior(), &[])).unwrap();
    let names: Vec<_> = store.files().iter().map(|p| p.file_stem().unwrap().to_owned()).collect();
    assert_eq!(names, [FIRST.id()]);
}

#[test]
fn a_roster_cut_at_any_byte_leaves_the_last_good_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = ModelStore::of(folder.path());
    store.save(&roster(&FIRST, &[])).unwrap();
    store.save(&roster(&SECOND, &[])).unwrap();
    let path = folder.path().join(FOLDER).join(ROSTER);
    let whole = fs::read(&path).unwrap();
    for end in 0..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let (loaded, troubles) = store.load(prior());
        assert_eq!(loaded.champion.id(), FIRST.id(), "cut at {end}");
        assert_eq!(troubles.len(), 1, "{troubles:?}");
    }
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        fs::write(&path, &flipped).unwrap();
        assert_eq!(store.load(prior()).0.champion.id(), FIRST.id(), "flipped at {at}");
    }
}

#[test]
fn a_model_cut_at_any_of_many_bytes_leaves_the_last_good_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = ModelStore::of(folder.path());
    store.save(&roster(&FIRST, &[])).unwrap();
    store.save(&roster(&SECOND, &[])).unwrap();
    let path = store.path(SECOND.id());
    let whole = fs::read(&path).unwrap();
    for end in (0..whole.len()).step_by(whole.len() / 60).chain(whole.len() - 5..whole.len()) {
        fs::write(&path, &whole[..end]).unwrap();
        let (loaded, troubles) = store.load(prior());
        assert_eq!(loaded.champion.id(), FIRST.id(), "cut at {end}");
        assert!(troubles[0].contains(SECOND.id()), "{troubles:?}");
    }
    // Neither is there: the prior judges.
    fs::remove_file(store.path(FIRST.id())).unwrap();
    let (loaded, troubles) = store.load(prior());
    assert!(loaded.is_prior() && troubles.len() == 2, "{troubles:?}");
}

#[test]
fn a_foreign_or_renamed_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = ModelStore::of(folder.path());
    store.save(&roster(&SECOND, &[])).unwrap();
    for foreign in [&b"{}"[..], b"PK\x03\x04", &FIRST.to_bytes()] {
        fs::write(store.path(SECOND.id()), foreign).unwrap();
        let (loaded, troubles) = store.load(prior());
        assert!(loaded.is_prior() && troubles.len() == 1, "{troubles:?}");
    }
}
