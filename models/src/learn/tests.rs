use super::*;
use crate::episode::Episode;
use crate::evaluation::{Event, EventEvidence, Label};
use crate::features::{FEATURES, FeatureVector};
use crate::fit::tests::planted;
use crate::fit::{FitError, TrainingRow, fit};
use crate::predictor::Predictor;
use crate::sample::Pair;
use crate::time::Timestamp;
use std::sync::{Arc, LazyLock};

/// Knows the planted signal.
static PRIOR: LazyLock<Arc<Predictor>> =
    LazyLock::new(|| Arc::new(fit(&planted(300, 2, 1), 7).unwrap()));

/// No scenario at all: whatever is asked of it, it has nothing to say.
fn silent() -> Frozen {
    Frozen::of([])
}

/// One lesson an hour, of a release of its own. `turn` changes the label that the world gave.
fn lessons(count: u64, seed: u64, turn: impl Fn(u64, &TrainingRow) -> bool) -> Vec<Lesson> {
    let services = ["cart", "odd", "search"];
    planted(count, 1, seed)
        .into_iter()
        .zip(0..)
        .map(|(row, at)| Lesson {
            id: at,
            service: services[at as usize % 3].into(),
            deployed: Timestamp(at * 3_600_000),
            alarm_at: Timestamp(at * 3_600_000 + 60_000),
            labelled_at: Timestamp(at * 3_600_000 + 360_000),
            sustained: turn(at, &row),
            corrected: false,
            looks: vec![(0, row.features.clone()), (20, row.features)],
        })
        .collect()
}

/// Where everything that looks as if it would last passes, on one service of three.
fn odd(at: u64, row: &TrainingRow) -> bool {
    row.sustained && (at % 3 != 1 || row.features.0[6].unwrap_or(0.0) > 0.2)
}

fn trained(lessons: &[Lesson]) -> Predictor {
    train(lessons, (&PRIOR, &PRIOR), &silent(), 3, &mut |_| true).unwrap()
}

fn episode(label: Label, checkpoints: Vec<(u32, FeatureVector)>) -> Episode {
    let fired = EventEvidence {
        stream: "shop".into(),
        event: Event::Failure,
        e_value: 1e4,
        trials: Pair { stable: 500, canary: 50 },
        hits: Pair { stable: 1, canary: 40 },
    };
    let (withdrawn_at, returned_at, why) = (None, None, String::new());
    Episode { alarm_at: Timestamp(5), fired, withdrawn_at, returned_at, label, why, checkpoints }
}

/// Leads a roster over lessons as they come, with training whenever it is due.
fn live(lessons: &[Lesson], frozen: &Frozen) -> (Roster, Vec<Finding>) {
    let mut roster = Roster::new(PRIOR.clone());
    let mut findings = Vec::new();
    for end in 1..=lessons.len() {
        let known = &lessons[..end];
        findings.extend(roster.review(known, frozen));
        if roster.is_training_due(known, known[end - 1].labelled_at) {
            let parent = roster.champion.clone();
            match train(known, (&PRIOR, &parent), frozen, 3, &mut |_| true) {
                Ok(challenger) => roster.enter(Arc::new(challenger), known),
                Err(_) => roster.mark_trained(known),
            }
        }
    }
    (roster, findings)
}

fn brier(predictor: &Predictor, lessons: &[Lesson]) -> f64 {
    figures(predictor, lessons, false).last().unwrap().brier
}

#[test]
fn a_service_that_the_prior_is_wrong_about_has_more_say_than_one_that_it_is_right_about() {
    let learned = trained(&lessons(240, 2, odd));
    let own = |service: &str| learned.says(Some(service))[2].share;
    // 80 labels of its own against 50.
    let by_number = 80.0 / 130.0;
    assert!(own("odd") > by_number + 0.05, "{} {by_number}", own("odd"));
    assert!(own("odd") > own("cart") + 0.1, "{} {}", own("odd"), own("cart"));
    assert!(learned.says(None).iter().map(|say| say.share).sum::<f64>() > 1.0 - 1e-12);
}

#[test]
fn forecasts_are_averaged_on_the_log_odds_and_still_explain_themselves() {
    let learned = trained(&lessons(60, 2, odd));
    let features = &lessons(1, 9, odd)[0].looks[0].1;
    let log_odds = |p: f64| (p / (1.0 - p)).ln();
    let all = learned.says(None)[1].share;
    assert!((0.05..0.95).contains(&all), "{all}");
    let layer = learned.layer_of_all();
    let expected = (1.0 - all) * log_odds(PRIOR.forecast(features).probability)
        + all * log_odds(layer.forecast(features).probability);
    let forecast = learned.forecast(features);
    assert!((log_odds(forecast.probability) - expected).abs() < 1e-9);
    let sum = forecast.base + forecast.contributions.iter().sum::<f64>();
    assert!((sum - expected).abs() < 1e-9);
    assert_eq!(learned.of_service("never seen").forecast(features), forecast);
    let own = learned.of_service("odd");
    assert_ne!(own.forecast(features), forecast);
    assert_eq!(own.of_service("never seen").forecast(features), own.forecast(features));
}

#[test]
fn the_same_lessons_and_seed_give_the_same_file_and_it_reads_back_as_it_was() {
    let lessons = lessons(60, 2, odd);
    let learned = trained(&lessons);
    assert!(learned.to_bytes() == trained(&lessons).to_bytes());
    let read = Predictor::from_bytes(&learned.to_bytes()).unwrap();
    assert_eq!(read, learned);
    let lineage = read.lineage().unwrap();
    assert_eq!((lineage.labels, lineage.generation), (60, 1));
    assert_eq!((lineage.prior.as_str(), lineage.parent.as_str()), (PRIOR.id(), PRIOR.id()));
    assert_eq!(lineage.services.len(), 3);
}

#[test]
fn a_file_that_was_cut_anywhere_is_refused() {
    let file = trained(&lessons(40, 2, odd)).to_bytes();
    for end in (0..file.len()).step_by(file.len() / 500).chain(file.len() - 50..file.len()) {
        assert!(Predictor::from_bytes(&file[..end]).is_err(), "cut at {end} of {}", file.len());
    }
}

#[test]
fn what_cannot_be_learned_from_is_refused_by_its_name() {
    let refused = |lessons: &[Lesson]| {
        train(lessons, (&PRIOR, &PRIOR), &silent(), 3, &mut |_| true).unwrap_err()
    };
    assert_eq!(refused(&[]), FitError::Empty);
    for kind in [true, false] {
        assert_eq!(
            refused(&lessons(40, 2, |_, _| kind)),
            FitError::SingleClass { sustained: kind }
        );
    }
    let mut alike = lessons(40, 2, odd);
    let features = alike[0].looks.clone();
    alike.iter_mut().for_each(|lesson| lesson.looks = features.clone());
    assert_eq!(refused(&alike), FitError::Constant);
    let mut short = lessons(40, 2, odd);
    short[3].looks[0].1.0.pop();
    assert!(matches!(refused(&short), FitError::Width { .. }));
    for odd_value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut lessons = lessons(40, 2, odd);
        lessons[5].looks[1].1.0[2] = Some(odd_value);
        assert!(matches!(refused(&lessons), FitError::NotFinite { .. }));
    }
    let cancelled = train(&lessons(40, 2, odd), (&PRIOR, &PRIOR), &silent(), 3, &mut |_| false);
    assert_eq!(cancelled.unwrap_err(), FitError::Cancelled);
}

#[test]
fn an_episode_teaches_only_where_its_label_and_its_features_are_sound() {
    let sound = FeatureVector(vec![Some(0.5); FEATURES.len()]);
    let of = |label, features: FeatureVector, corrected| {
        let episode = episode(label, vec![(0, features)]);
        Lesson::of(&episode, (1, "shop".into(), Timestamp(0)), Timestamp(9), corrected)
    };
    assert!(of(Label::Sustained, sound.clone(), None).unwrap().sustained);
    for label in [Label::Unclear, Label::Censored, Label::Shared] {
        assert_eq!(of(label, sound.clone(), None), Err(NotLearned::Label(label)));
        let corrected = of(label, sound.clone(), Some(Label::Transient)).unwrap();
        assert!(!corrected.sustained && corrected.corrected);
    }
    let odd = FeatureVector(vec![Some(f64::NAN); FEATURES.len()]);
    assert_eq!(of(Label::Sustained, odd, None), Err(NotLearned::NotFinite(FEATURES[0])));
    let short = FeatureVector(vec![None; 3]);
    assert!(matches!(of(Label::Sustained, short, None), Err(NotLearned::Width { found: 3, .. })));
    let none = episode(Label::Sustained, vec![]);
    let none = Lesson::of(&none, (1, "shop".into(), Timestamp(0)), Timestamp(9), None);
    assert_eq!(none, Err(NotLearned::NoFeatures));
}

#[test]
fn a_service_with_its_own_ways_is_learned_and_the_others_lose_nothing() {
    let all = lessons(500, 5, odd);
    let (roster, findings) = live(&all[..400], &silent());
    assert!(!roster.is_prior(), "{} findings", findings.len());
    let tail = &all[400..];
    let of = |name: &str| -> Vec<Lesson> {
        tail.iter()
            .filter(|lesson| (&*lesson.service == "odd") == (name == "odd"))
            .cloned()
            .collect()
    };
    let (before, after) = (brier(&PRIOR, &of("odd")), brier(&roster.champion, &of("odd")));
    assert!(after < before / 2.0, "{after} {before}");
    let (before, after) = (brier(&PRIOR, &of("others")), brier(&roster.champion, &of("others")));
    assert!(after < before + 0.02, "{after} {before}");
}

#[test]
fn where_the_prior_is_right_nothing_takes_its_place_by_luck() {
    let lucky = (10..14)
        .filter(|seed| !live(&lessons(150, *seed, |_, row| row.sustained), &silent()).0.is_prior());
    // At most one challenger in twenty, and each has to be better calibrated as well.
    assert!(lucky.count() <= 1);
}

#[test]
fn labels_that_are_upside_down_are_set_aside_and_teach_nothing() {
    let poisoned = |at: u64| (150..230).contains(&at);
    let all = lessons(320, 6, |at, row| row.sustained != poisoned(at));
    let aside = doubted(&PRIOR, &all);
    let caught = (155..225).filter(|id| aside.contains(id)).count();
    assert!(caught >= 65, "{caught} of 70");
    assert!(!aside.iter().any(|id| *id < 130 || *id > 250), "{aside:?}");
    let (roster, _) = live(&all, &silent());
    let clean = lessons(300, 7, |_, row| row.sustained);
    let (served, prior) = (brier(&roster.champion, &clean), brier(&PRIOR, &clean));
    assert!(served <= prior + 0.01, "{served} {prior}");
}

#[test]
fn a_service_that_is_odd_is_not_taken_for_labels_upside_down() {
    assert!(doubted(&PRIOR, &lessons(300, 6, odd)).is_empty());
}

#[test]
fn what_a_person_said_is_believed() {
    let mut all = lessons(60, 6, |_, row| !row.sustained);
    assert_eq!(doubted(&PRIOR, &all).len(), 60);
    let refused = train(&all, (&PRIOR, &PRIOR), &silent(), 3, &mut |_| true).unwrap_err();
    assert_eq!(refused, FitError::SetAside { labels: 60 });
    all.iter_mut().for_each(|lesson| lesson.corrected = true);
    assert!(doubted(&PRIOR, &all).is_empty());
}

#[test]
fn a_champion_that_the_world_has_left_behind_gives_way_to_the_prior() {
    // Where what looks as if it would last passes, and the other way round.
    let taught = lessons(150, 5, |at, row| row.sustained == (at % 3 != 1));
    let champion = Arc::new(trained(&taught));
    let mut roster = Roster::new(PRIOR.clone());
    (roster.champion, roster.champion_since) = (champion, Timestamp(taught[149].labelled_at.0));
    // The odd service has become like the others.
    let mut all = taught;
    let after = lessons(400, 8, |_, row| row.sustained).into_iter().skip(150);
    all.extend(after.filter(|lesson| &*lesson.service == "odd"));
    let fell = (151..=all.len()).find_map(|end| {
        roster.review(&all[..end], &silent()).into_iter().find_map(|finding| match finding {
            Finding::FellBack { why, .. } => Some((end, why)),
            _ => None,
        })
    });
    assert!(fell.is_some() && roster.is_prior(), "{fell:?}");
}

#[test]
fn a_trial_counts_only_what_was_labelled_after_the_fit_and_other_releases() {
    let mut all = lessons(100, 5, odd);
    let challenger = trained(&all[..60]);
    let roster = Roster::new(PRIOR.clone());
    assert_eq!(roster.standing(&challenger, &all).labels, 40);
    // The next episode of a release that it had learned from.
    all[60].deployed = all[59].deployed;
    all[60].service = all[59].service.clone();
    assert_eq!(roster.standing(&challenger, &all).labels, 39);
}

#[test]
fn a_challenger_is_due_after_twenty_new_labels_or_a_day_also_where_old_ones_are_forgotten() {
    let all = lessons(100, 5, odd);
    let mut roster = Roster::new(PRIOR.clone());
    let at = |count: usize| all[count - 1].labelled_at;
    assert!(!roster.is_training_due(&all[..19], at(19)));
    assert!(roster.is_training_due(&all[..20], at(20)));
    roster.mark_trained(&all[..20]);
    assert!(!roster.is_training_due(&all[..39], Timestamp(at(20).0 + 23 * 3_600_000)));
    assert!(roster.is_training_due(&all[..21], Timestamp(at(20).0 + 24 * 3_600_000)));
    assert!(
        !roster.is_training_due(&all[..20], Timestamp(at(20).0 + 90 * 3_600_000)),
        "nothing new"
    );
    // Ten of them are gone: twenty came all the same.
    assert!(roster.is_training_due(&all[10..40], at(40)));
}

#[test]
fn one_that_is_fitted_every_day_does_not_keep_the_older_from_their_trial() {
    let all = lessons(200, 5, odd);
    let challengers: Vec<Arc<Predictor>> =
        (20..30).map(|end| Arc::new(trained(&all[..end * 2]))).collect();
    let mut roster = Roster::new(PRIOR.clone());
    for (at, challenger) in challengers.iter().enumerate() {
        roster.enter(challenger.clone(), &all[..(20 + at) * 2]);
    }
    // Of ten fitted two labels apart those are left that had ten labels before the next one came.
    let left: Vec<usize> = roster
        .challengers
        .iter()
        .filter_map(|left| challengers.iter().position(|known| known.id() == left.id()))
        .collect();
    assert_eq!(left, [9], "each gave way to the next");
    roster.enter(challengers[0].clone(), &all);
    assert_eq!(roster.challengers.len(), 2, "the last one had been tried by now");
}

#[test]
fn a_challenger_that_does_worse_on_the_frozen_scenarios_does_not_win() {
    let standing =
        Standing { labels: 60, capital: 500.0, brier: (0.2, 0.1), calibration: (0.1, 0.1) };
    let worse = trained(
        &lessons(200, 5, |_, row| !row.sustained)
            .into_iter()
            .map(|mut lesson| {
                lesson.corrected = true;
                lesson
            })
            .collect::<Vec<_>>(),
    );
    let frozen = Frozen::from_rows(planted(100, 1, 3));
    let verdict = |model: &Predictor, frozen: &Frozen| {
        super::trial::verdict(&standing, (&PRIOR, model), frozen)
    };
    assert_eq!(verdict(&worse, &silent()), Verdict::Won);
    assert!(matches!(verdict(&worse, &frozen), Verdict::Lost(why) if why.contains("frozen")));
    assert_eq!(verdict(&trained(&lessons(200, 5, |_, row| row.sustained)), &frozen), Verdict::Won);
}

#[test]
fn a_trial_ends_where_there_is_enough_to_say_and_not_before() {
    let challenger = trained(&lessons(60, 5, |_, row| row.sustained));
    let verdict = |labels, capital, brier, calibration| {
        let standing = Standing { labels, capital, brier, calibration };
        super::trial::verdict(&standing, (&PRIOR, &challenger), &silent())
    };
    let (better, worse, alike) = ((0.2, 0.1), (0.1, 0.2), (0.1, 0.1));
    assert_eq!(verdict(30, 20.0, better, alike), Verdict::Won);
    for (labels, capital, brier, calibration) in [
        (29, 500.0, better, alike),
        (199, 19.0, better, alike),
        (199, 500.0, worse, alike),
        (199, 500.0, better, (0.1, 0.13)),
    ] {
        assert_eq!(verdict(labels, capital, brier, calibration), Verdict::Open, "{labels}");
    }
    for (capital, brier, calibration, why) in [
        (19.0, better, alike, "no better"),
        (500.0, worse, alike, "Brier score is 0.200"),
        (500.0, better, (0.1, 0.13), "calibration error 0.130"),
    ] {
        let lost = verdict(200, capital, brier, calibration);
        assert!(matches!(&lost, Verdict::Lost(told) if told.contains(why)), "{lost:?}");
    }
}

#[test]
fn where_there_are_too_many_looks_every_lesson_gives_up_some_and_rows_say_where_they_are_from() {
    let all = lessons(40, 5, odd);
    let numbered: Vec<(usize, &Lesson)> = all.iter().enumerate().skip(4).collect();
    for (most, expected) in [(1_000, 72), (40, 36), (30, 24)] {
        let rows = super::lesson::rows(&numbered, most);
        assert_eq!((rows.rows.len(), rows.places.len()), (expected, expected), "of {most}");
        for (row, (number, look)) in rows.rows.iter().zip(&rows.places) {
            assert_eq!(row.features, all[*number].looks[*look].1);
            assert_eq!(row.sustained, all[*number].sustained);
        }
        for look in [0, 1] {
            assert!(rows.places.iter().any(|place| place.1 == look), "look {look} of {most}");
        }
    }
}

#[test]
fn a_layer_is_weighed_beside_what_the_more_general_ones_said_of_the_same_looks() {
    use super::say::{General, HeldOut};
    use crate::fit::fit_in_time;
    let all = lessons(60, 5, odd);
    let known: Vec<&Lesson> = all.iter().collect();
    let numbered: Vec<(usize, &Lesson)> = known.iter().copied().enumerate().collect();
    let rows = super::lesson::rows(&numbered, 1_000);
    let fitted = fit_in_time(&rows.rows, 3, &mut |_| true).unwrap();
    let of_prior = |features: &FeatureVector| {
        let p = PRIOR.forecast(features).probability;
        (p / (1.0 - p)).ln()
    };
    let mut general = General::prior(&PRIOR, &known, (&rows, &fitted));
    let check = |held_out: &[HeldOut], share: f64| {
        // The first fifth of the releases is never held out; a lesson has two looks.
        assert_eq!(held_out.len(), 48);
        for (held_out, lesson) in held_out.iter().zip(&all[12..]) {
            assert_eq!(held_out.sustained, lesson.sustained);
            for ((found, own), (_, features)) in held_out.looks.iter().zip(&lesson.looks) {
                let expected = (1.0 - share) * of_prior(features) + share * own;
                assert!((found - expected).abs() < 1e-9, "{found} {expected}");
            }
        }
    };
    check(&general.beside((&rows, &fitted)), 0.0);
    general.take_in(0.25, (&rows, &fitted));
    check(&general.beside((&rows, &fitted)), 0.25);
}

#[test]
fn what_is_true_of_some_services_is_not_believed_of_all() {
    let frozen = Frozen::from_rows(planted(300, 1, 3));
    // Two services of three have it the other way round, and a person says so.
    let mut odd = lessons(300, 5, |at, row| row.sustained == (at % 3 == 0));
    odd.iter_mut().for_each(|lesson| lesson.corrected = true);
    let of = |frozen: &Frozen| train(&odd, (&PRIOR, &PRIOR), frozen, 3, &mut |_| true).unwrap();
    let (restrained, free) = (of(&frozen), of(&silent()));
    let say = |model: &Predictor| model.says(None)[1].share;
    assert!(say(&restrained) < say(&free) / 2.0, "{} {}", say(&restrained), say(&free));
    assert!(frozen.brier(&restrained) <= frozen.brier(&PRIOR) + 0.01);
    // Upside down is no service's own way.
    assert!(restrained.lineage().unwrap().left_out["odd"].contains("frozen"));
    assert_eq!(restrained.says(Some("cart")).len(), 3, "the ordinary one has its layer");
}

#[test]
fn a_calibration_table_says_what_was_said_and_what_happened() {
    let all = lessons(400, 5, |_, row| row.sustained);
    let table = calibration_table(&PRIOR, &all, false);
    assert_eq!(table.iter().map(|row| row.forecasts).sum::<usize>(), 800);
    for row in table.iter().filter(|row| row.forecasts > 60) {
        assert!(row.from <= row.said && row.said <= row.to, "{row:?}");
        assert!((row.said - row.happened).abs() < 0.25, "{row:?}");
    }
}

#[test]
fn importance_names_what_was_planted_first() {
    let importance = PRIOR.importance();
    let first: Vec<&str> = importance.iter().take(2).map(|i| i.feature).collect();
    assert!(first.contains(&FEATURES[0]) && first.contains(&FEATURES[3]), "{first:?}");
    let whole: f64 = importance.iter().map(|importance| importance.share).sum();
    assert!((0.9..=1.0 + 1e-9).contains(&whole), "{whole}");
}
