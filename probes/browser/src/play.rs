//! Step after step, until one fails.

use crate::element::{self, Act, Found};
use crate::job::{Job, Line, Step, tell};
use crate::keys::Keyboard;
use crate::page::Watched;
use chromiumoxide::Page;
use chromiumoxide::cdp::browser_protocol::emulation::SetDeviceMetricsOverrideParams;
use chromiumoxide::cdp::browser_protocol::input::{
    DispatchMouseEventParams, DispatchMouseEventType, InsertTextParams, MouseButton,
};
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// A script asks for no more time than this at once: the page may go away under it.
const ONCE: Duration = Duration::from_secs(1);
/// Between two looks at a page that is going away.
const PAUSE: Duration = Duration::from_millis(20);

/// What was expected and what came.
struct Failure {
    message: String,
    late: bool,
}

impl From<String> for Failure {
    fn from(message: String) -> Failure {
        Failure { message, late: false }
    }
}

pub(crate) async fn play(job: &Job, page: Page) -> anyhow::Result<()> {
    let mut player = Player { watched: Watched::new(page).await?, keyboard: Keyboard::default() };
    for (at, step) in job.steps.iter().enumerate() {
        if step.r#type == "close" {
            break;
        }
        tell(&Line::Begin(at));
        let began = Instant::now();
        let limit = job.timeout(step);
        let result = player.step(step, began + limit, limit).await;
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let status = player.watched.progress().status;
        let failed = result.is_err();
        let (failure, late) = match result {
            Ok(()) => (None, false),
            Err(failure) => (Some(player.explained(failure.message)), failure.late),
        };
        tell(&Line::Done { micros, status, failure, late });
        if failed {
            break;
        }
    }
    tell(&Line::End);
    Ok(())
}

struct Player {
    watched: Watched,
    keyboard: Keyboard,
}

impl Player {
    /// A failure with what the page's scripts have thrown: more often than not that is why.
    fn explained(&self, message: String) -> String {
        match self.watched.take_thrown() {
            Some(thrown) => format!("{message} (the page threw: {thrown})"),
            None => message,
        }
    }

    async fn step(&mut self, step: &Step, end: Instant, limit: Duration) -> Result<(), Failure> {
        let before = self.watched.progress();
        let late = |what: &str| Failure {
            message: format!("expected {what} within {limit:?}, it did not come"),
            late: true,
        };
        match timeout_at(end, self.act(step, end, limit)).await {
            Ok(done) => done?,
            Err(_) => return Err(late("the step to be done")),
        }
        if step.navigates() && step.r#type != "navigate" {
            // A new page that is loaded, or another address on the same one.
            let there = self.watched.until(|now| {
                now.loads > before.loads && now.navigations > before.navigations
                    || now.within > before.within && now.navigations == before.navigations
            });
            timeout_at(end, there).await.map_err(|_| late("another page"))?;
        }
        let now = self.watched.progress();
        match now.status {
            Some(status) if status >= 400 && now.navigations > before.navigations => {
                Err(format!("expected a page with a status below 400, got {status}").into())
            }
            _ => Ok(()),
        }
    }

    async fn act(&mut self, step: &Step, end: Instant, limit: Duration) -> Result<(), Failure> {
        match step.r#type.as_str() {
            "navigate" => self.open(step).await,
            "setViewport" => self.resize(step).await,
            "click" => self.click(step, 1, end, limit).await,
            "doubleClick" => self.click(step, 2, end, limit).await,
            "hover" => {
                let place = self.find(step, Act::Place, end, limit).await?;
                self.mouse(DispatchMouseEventType::MouseMoved, &place, step, 0).await
            }
            "change" => {
                let found = self.find(step, Act::Change, end, limit).await?;
                match &step.value {
                    Some(text) if found.typed => {
                        self.send(InsertTextParams::new(text.clone())).await
                    }
                    _ => Ok(()),
                }
            }
            "submit" => self.find(step, Act::Submit, end, limit).await.map(drop),
            "scroll" if step.selectors.is_array() => {
                self.find(step, Act::Scroll, end, limit).await.map(drop)
            }
            "scroll" => {
                let (x, y) = (step.x.unwrap_or(0.0), step.y.unwrap_or(0.0));
                self.watched.evaluate(format!("window.scrollTo({x}, {y})")).await?;
                Ok(())
            }
            "keyDown" | "keyUp" => {
                let key = step.key.as_deref().unwrap_or_default();
                let event = self.keyboard.event(key, step.r#type == "keyDown")?;
                self.send(event).await
            }
            "waitForElement" => self.find(step, Act::Wait, end, limit).await.map(drop),
            "waitForExpression" => self.expression(step, end, limit).await,
            other => Err(format!("`{other}` cannot be played").into()),
        }
    }

    async fn open(&self, step: &Step) -> Result<(), Failure> {
        let url = step.url.clone().unwrap_or_default();
        match self.watched.page.goto(url).await {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("expected a page, got {error}").into()),
        }
    }

    async fn resize(&self, step: &Step) -> Result<(), Failure> {
        let whole = |size: Option<f64>| size.unwrap_or(0.0) as i64;
        let (width, height) = (whole(step.width), whole(step.height));
        let scale = step.device_scale_factor.unwrap_or(1.0);
        let mobile = step.is_mobile.unwrap_or(false);
        self.send(SetDeviceMetricsOverrideParams::new(width, height, scale, mobile)).await
    }

    async fn click(
        &self,
        step: &Step,
        times: i64,
        end: Instant,
        limit: Duration,
    ) -> Result<(), Failure> {
        let place = self.find(step, Act::Place, end, limit).await?;
        self.mouse(DispatchMouseEventType::MouseMoved, &place, step, 0).await?;
        for count in 1..=times {
            self.mouse(DispatchMouseEventType::MousePressed, &place, step, count).await?;
            self.mouse(DispatchMouseEventType::MouseReleased, &place, step, count).await?;
        }
        Ok(())
    }

    async fn mouse(
        &self,
        kind: DispatchMouseEventType,
        place: &Found,
        step: &Step,
        count: i64,
    ) -> Result<(), Failure> {
        let button = match (count, step.button.as_deref()) {
            (0, _) => MouseButton::None,
            (_, Some("secondary")) => MouseButton::Right,
            (_, Some("auxiliary")) => MouseButton::Middle,
            _ => MouseButton::Left,
        };
        let mut event = DispatchMouseEventParams::new(kind, place.x, place.y);
        (event.button, event.click_count) = (Some(button), Some(count));
        self.send(event).await
    }

    async fn send<T: chromiumoxide::Command>(&self, command: T) -> Result<(), Failure> {
        let sent = self.watched.page.execute(command).await;
        sent.map(drop).map_err(|error| format!("the browser refused: {error}").into())
    }

    /// Looks for the step's element until it is there, on whatever page there is by then.
    async fn find(
        &self,
        step: &Step,
        act: Act,
        end: Instant,
        limit: Duration,
    ) -> Result<Found, Failure> {
        let mut came = "none".to_owned();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            // So that the script is the one to say what came instead.
            let budget = left.saturating_sub(PAUSE * 5).min(ONCE);
            let script = element::script(step, act, budget.as_millis());
            match self.watched.evaluate(script).await? {
                Some(value) => {
                    let found: Found = serde_json::from_value(value).unwrap_or_default();
                    if found.done {
                        return Ok(found);
                    }
                    came = found.came.unwrap_or(came);
                }
                None => sleep(PAUSE).await,
            }
            if Instant::now() + PAUSE * 6 > end {
                let wanted = match (act, step.count) {
                    (Act::Wait, Some(count)) => {
                        format!("{} {count} elements", step.operator.as_deref().unwrap_or(">="))
                    }
                    _ => "an element".to_owned(),
                };
                let selectors = element::shown(step);
                return Err(format!(
                    "expected {wanted} for `{selectors}` within {limit:?}, got {came}"
                )
                .into());
            }
        }
    }

    async fn expression(&self, step: &Step, end: Instant, limit: Duration) -> Result<(), Failure> {
        let expression = step.expression.as_deref().unwrap_or_default();
        let mut came = "nothing".to_owned();
        loop {
            match self.watched.evaluate(format!("(async () => ({expression}))()")).await {
                Ok(Some(value)) if is_true(&value) => return Ok(()),
                Ok(Some(value)) => came = value.to_string(),
                Ok(None) => {}
                Err(error) => came = error,
            }
            if Instant::now() + PAUSE * 2 > end {
                let message =
                    format!("expected `{expression}` to be true within {limit:?}, got {came}");
                return Err(message.into());
            }
            sleep(PAUSE).await;
        }
    }
}

/// As JavaScript sees it.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}
