//! The play: load comes, a fault strikes, the proxy decides, the story is told.

use super::arguments::DemoArguments;
use super::headless::Lines;
use super::load::{self, LoadPlan};
use super::shop::FaultKind;
use super::stage::{CANARY, Stage};
use super::story;
use super::tally::Tally;
use super::view::Screen;
use super::watcher::Watcher;
use anyhow::bail;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::time::Instant;

/// How long users are on the canary before the fault strikes.
const GRACE: Duration = Duration::from_secs(3);
/// How long the demo goes on after the last decision, to show that it holds.
const AFTERMATH: Duration = Duration::from_secs(4);
/// Time between two looks.
const GLANCE: Duration = Duration::from_millis(100);

/// What has happened so far, for whoever shows it.
pub(super) struct Scene {
    pub(super) fault: FaultKind,
    /// When the load began, in milliseconds since the Unix epoch.
    pub(super) began_at: u64,
    /// When the fault struck.
    pub(super) struck_at: Option<u64>,
    pub(super) tally: Arc<Tally>,
    pub(super) watcher: Watcher,
}

/// Where a scene is shown.
enum Display {
    Lines(Lines),
    Screen(Screen),
}

/// Milliseconds since the Unix epoch.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// Plays the demo. Must not be called inside an async runtime.
///
/// # Errors
/// Something does not start, or the proxy dies.
pub fn run(arguments: DemoArguments) -> anyhow::Result<ExitCode> {
    // One thread: the children are tied to the thread that starts them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            code = play(arguments) => code,
            // Dropping the play kills the children.
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(130)),
        }
    })
}

async fn play(arguments: DemoArguments) -> anyhow::Result<ExitCode> {
    let plain = arguments.headless || !std::io::stdout().is_terminal();
    println!("Starting two versions of a shop and the proxy in front of them ...");
    let mut stage = Stage::set(&arguments).await?;
    let tally = Arc::new(Tally::default());
    let plan = LoadPlan {
        target: stage.web,
        host: "shop.example".to_owned(),
        rps: arguments.rps,
        users: 400,
        carts: 0.05,
        patience: Duration::from_secs(5),
        canary_version: CANARY.to_owned(),
        seed: arguments.seed,
    };
    let (stop, stopped) = watch::channel(false);
    let load = tokio::spawn(load::send(plan, Arc::clone(&tally), stopped));
    let mut scene = Scene {
        fault: arguments.fault,
        began_at: now(),
        struck_at: None,
        tally,
        watcher: Watcher::new(stage.admin.clone()),
    };
    let display =
        if plain { Display::Lines(Lines::new()) } else { Display::Screen(Screen::open()?) };
    let played = follow(&arguments, &mut stage, &mut scene, display).await;
    // The load has its own end; nobody listens only if it ended before.
    let _ = stop.send(true);
    let _ = load.await;
    played?;
    let code = story::tell(&scene, &stage, &arguments).await?;
    let folder = stage.clear().await;
    story::where_to_look(&folder, arguments.keep);
    Ok(code)
}

/// Watches and strikes until there is nothing more to see.
async fn follow(
    arguments: &DemoArguments,
    stage: &mut Stage,
    scene: &mut Scene,
    mut display: Display,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + arguments.duration;
    let mut exposed_since: Option<Instant> = None;
    let mut decided_since: Option<Instant> = None;
    let mut next_life: Option<Instant> = None;
    let mut glance = tokio::time::interval(GLANCE);
    glance.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        glance.tick().await;
        if let Some(status) = stage.proxy.ended() {
            bail!("the proxy ended ({status}); see {}", stage.proxy.log.display());
        }
        scene.watcher.look().await?;
        let (phase, weight) = (&*scene.watcher.status.phase, scene.watcher.status.weight);
        if weight >= 10.0 && exposed_since.is_none() {
            exposed_since = Some(Instant::now());
        }
        let due = exposed_since.is_some_and(|since| since.elapsed() >= GRACE);
        if due && scene.struck_at.is_none() {
            stage.strike(arguments.fault, arguments.rate).await?;
            scene.struck_at = Some(now());
        }
        if arguments.fault == FaultKind::Crash && scene.struck_at.is_some() {
            watch_over(stage, &mut next_life).await?;
        }
        if matches!(phase, "rolled_back" | "promoted") && decided_since.is_none() {
            decided_since = Some(Instant::now());
        }
        let left = match &mut display {
            Display::Lines(lines) => lines.show(scene),
            Display::Screen(screen) => screen.show(scene)?,
        };
        let settled = decided_since.is_some_and(|since| since.elapsed() >= AFTERMATH);
        if left || settled || Instant::now() >= deadline {
            return Ok(());
        }
    }
}

/// Starts a crashed canary anew, a second after it ended, as a service supervisor would.
async fn watch_over(stage: &mut Stage, next_life: &mut Option<Instant>) -> anyhow::Result<()> {
    match *next_life {
        None if stage.canary.has_ended() => {
            *next_life = Some(Instant::now() + Duration::from_secs(1));
        }
        Some(at) if Instant::now() >= at => {
            stage.canary.loop_crash().await?;
            *next_life = None;
        }
        _ => {}
    }
    Ok(())
}
