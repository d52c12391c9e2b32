use super::*;

fn chart(points: Vec<(u64, Option<f64>)>) -> Chart {
    let points = points.into_iter().map(|(at, value)| (Timestamp(at), value)).collect();
    Chart {
        title: "a < b & \"c\"".to_owned(),
        width: WIDE,
        height: 100.0,
        scale: Scale::Linear(10.0),
        ticks: vec![(5.0, "5%".to_owned())],
        limits: vec![(8.0, "limit".to_owned())],
        series: vec![Series { name: "canary", class: "canary", points, steps: false }],
    }
}

#[test]
fn a_line_goes_through_its_points_and_stops_where_there_is_none() {
    let points = vec![(0, Some(0.0)), (500, Some(10.0)), (600, None), (1_000, Some(5.0))];
    let svg = chart(points).svg((Timestamp(0), Timestamp(1_000)), &[], true);
    // 64 to 940 wide, the foot at 134, the top at 34.
    assert!(svg.contains("M64.0 134.0h0.1L502.0 34.0M940.0 84.0h0.1"), "{svg}");
    assert!(svg.contains("a &lt; b &amp; &quot;c&quot;"), "{svg}");
}

#[test]
fn values_that_are_odd_stay_within_the_picture() {
    let odd = vec![(0, Some(f64::NAN)), (1, Some(1e300)), (2, Some(-5.0)), (9_999, Some(3.0))];
    let svg = chart(odd).svg((Timestamp(0), Timestamp(1_000)), &[], true);
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    assert_eq!(Scale::Logarithmic(1.0, 100.0).share(10.0), 0.5);
    assert_eq!(Scale::Logarithmic(1.0, 100.0).share(0.0), 0.0);
}

#[test]
fn marks_within_the_time_are_drawn_without_covering_each_other() {
    let mark = |at, name: &str| Mark { at: Timestamp(at), name: name.to_owned(), class: "bad" };
    let marks = [
        mark(500, "anomaly"),
        mark(500, "withdrawn"),
        mark(510, "rolled back"),
        mark(5_000, "later"),
    ];
    let svg = chart(vec![]).svg((Timestamp(0), Timestamp(1_000)), &marks, true);
    assert!(svg.contains(">anomaly, withdrawn<") && svg.contains(">rolled back<"), "{svg}");
    assert!(!svg.contains("later"), "{svg}");
    // One above the other, since they are near.
    assert!(svg.contains("y=\"38.0\">anomaly") && svg.contains("y=\"53.0\">rolled back"), "{svg}");
    let unnamed = chart(vec![]).svg((Timestamp(0), Timestamp(1_000)), &marks, false);
    assert!(!unnamed.contains("withdrawn"), "{unnamed}");
    assert_eq!(unnamed.matches("class=\"mark bad\"").count(), 2);
}

#[test]
fn nothing_can_be_smuggled_into_a_picture() {
    assert_eq!(escaped("</text><script>\u{0}'"), "&lt;/text&gt;&lt;script&gt;\u{fffd}&#39;");
}

#[test]
fn axes_end_at_round_values() {
    let low = [0.9, 1.0, 3.0, 7.0, 12.0].map(|value| round_at(value, f64::floor));
    let high = [0.9, 1.0, 3.0, 7.0, 12.0].map(|value| round_at(value, f64::ceil));
    assert_eq!((low, high), ([0.5, 1.0, 2.0, 5.0, 10.0], [1.0, 1.0, 5.0, 10.0, 20.0]));
}
