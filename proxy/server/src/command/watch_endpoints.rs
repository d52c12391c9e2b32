//! The endpoints of a service in `serinus watch`.

use crate::data_path::{EndpointState, EndpointStatus};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span, Text};

/// Of more than so many, those that are not well are shown first, and of the rest only how many.
const MOST: usize = 8;

/// Lines of [`table`].
pub(super) fn height(endpoints: &[EndpointStatus]) -> u16 {
    let rows = endpoints.len().min(MOST) + usize::from(endpoints.len() > MOST);
    // A heading, where there is anything.
    (rows + usize::from(rows > 0)) as u16
}

/// State, what speaks against it, and what it has to do.
pub(super) fn table(endpoints: &[EndpointStatus]) -> Text<'static> {
    if endpoints.is_empty() {
        return Text::default();
    }
    let mut all: Vec<&EndpointStatus> = endpoints.iter().collect();
    if all.len() > MOST {
        all.sort_by_key(|one| one.state == EndpointState::Healthy);
    }
    let width = all.iter().take(MOST).map(|one| name(one).len()).max().unwrap_or(0).max(8);
    let heading = format!(
        "{:<7} {:<width$} {:<11} {:>8} {:>9} {:>14}  why",
        "variant", "endpoint", "state", "requests", "ejections", "checks failed"
    );
    let mut lines = vec![Line::from(heading).dim()];
    lines.extend(all.iter().take(MOST).map(|one| row(one, width)));
    if let Some(rest) = all.get(MOST..).filter(|rest| !rest.is_empty()) {
        let well = rest.iter().filter(|one| one.state == EndpointState::Healthy).count();
        lines.push(Line::from(format!("and {} more, {well} of them healthy", rest.len())).dim());
    }
    Text::from(lines)
}

fn row(one: &EndpointStatus, width: usize) -> Line<'static> {
    let active = one.active.map_or_else(|| "-".to_owned(), |active| active.to_string());
    let checks = match one.checks_failed + one.checks_passed {
        0 => "-".to_owned(),
        all => format!("{} of {all}", one.checks_failed),
    };
    let state = one.state.as_str().replace('_', " ");
    Line::from(vec![
        Span::from(format!("{:<7} {:<width$} ", one.variant.as_str(), name(one))),
        Span::styled(format!("{state:<11}"), Style::new().fg(colour(one.state))),
        Span::from(format!(" {active:>8} {:>9} {checks:>14}  {}", one.ejections, why(one))),
    ])
}

fn name(one: &EndpointStatus) -> String {
    match one.address {
        Some(address) if *address.to_string() != *one.endpoint => {
            format!("{} ({address})", one.endpoint)
        }
        _ => one.endpoint.to_string(),
    }
}

fn why(one: &EndpointStatus) -> String {
    let why = one.why.clone().unwrap_or_default();
    let is_out = !matches!(one.state, EndpointState::Healthy | EndpointState::SlowStart);
    match (why.is_empty(), is_out && one.asked) {
        (_, false) => why,
        (true, true) => "asked all the same".to_owned(),
        (false, true) => format!("{why}; asked all the same"),
    }
}

fn colour(state: EndpointState) -> Color {
    match state {
        EndpointState::Healthy => Color::Green,
        EndpointState::SlowStart | EndpointState::Draining => Color::Yellow,
        EndpointState::Unresolved | EndpointState::Unhealthy | EndpointState::Ejected => Color::Red,
    }
}

/// A line for every endpoint that is not simply well: without what changes every second.
pub(super) fn in_lines(endpoints: &[EndpointStatus]) -> impl Iterator<Item = String> + '_ {
    let unwell = endpoints.iter().filter(|one| one.state != EndpointState::Healthy);
    unwell.map(|one| {
        let state = one.state.as_str().replace('_', " ");
        format!("  endpoint {} ({}): {state}", name(one), one.variant.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serinus_routing::Variant;

    fn endpoint(number: u32, state: EndpointState) -> EndpointStatus {
        EndpointStatus {
            variant: Variant::Stable,
            endpoint: format!("10.0.0.{number}:9000").into(),
            address: format!("10.0.0.{number}:9000").parse().ok(),
            weight: 1,
            state,
            asked: state == EndpointState::Healthy,
            active: (number % 2 == 1).then_some(number),
            ejections: 2,
            checks_passed: 7,
            checks_failed: 3,
            why: (state == EndpointState::Ejected).then(|| "for 12 s more".to_owned()),
        }
    }

    fn shown(endpoints: &[EndpointStatus]) -> Vec<String> {
        let text = table(endpoints);
        assert_eq!(text.lines.len(), usize::from(height(endpoints)));
        text.lines.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_endpoint_has_a_line_with_its_state() {
        let all = [endpoint(1, EndpointState::Healthy), endpoint(2, EndpointState::Ejected)];
        assert_eq!(
            shown(&all),
            [
                "variant endpoint      state       requests ejections  checks failed  why",
                "stable  10.0.0.1:9000 healthy            1         2        3 of 10  ",
                "stable  10.0.0.2:9000 ejected            -         2        3 of 10  for 12 s more",
            ]
        );
        assert!(shown(&[]).is_empty());
        let lines: Vec<String> = in_lines(&all).collect();
        assert_eq!(lines, ["  endpoint 10.0.0.2:9000 (stable): ejected"]);
    }

    #[test]
    fn of_many_those_that_are_not_well_come_first() {
        let mut all: Vec<_> = (1..=12).map(|n| endpoint(n, EndpointState::Healthy)).collect();
        all.push(endpoint(13, EndpointState::Draining));
        let lines = shown(&all);
        assert!(lines[1].contains("10.0.0.13:9000") && lines[1].contains("draining"), "{lines:?}");
        assert_eq!(lines.last().unwrap(), "and 5 more, 5 of them healthy");
    }
}
