//! The page at `/` for the person who asks "did everything run today?", in a real browser.

mod browser;
mod story;

use std::path::Path;

use anyhow::Result;
use serde_json::Value;
use testkit::{Program, RunningProgram};

use self::browser::{Browser, DESKTOP, Look};
use self::story::{SENTENCE, Story};

/// The key that moves the focus on, in the protocol's alphabet.
const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';

/// Set, the pictures in docs/images are taken anew.
const PICTURES: &str = "ACTCORE_PICTURES";

/// The story with a running API, and where that is.
async fn tell(name: &str) -> Result<(Story, RunningProgram)> {
    let story = Box::pin(Story::new(name)).await?;
    let zone = [("API_TIME_ZONE", story.zone.name())];
    let api = story.place.environment.start(Program::Api, zone).await?;
    Ok((story, api))
}

#[tokio::test]
async fn the_page_answers_whether_everything_ran_today() -> Result<()> {
    let (story, api) = tell("page").await?;
    let browser = Browser::start(DESKTOP).await?;
    browser.open(api.api_url()).await?;
    assert_eq!(browser.seen("h1").await?, "Did everything run today?");
    assert_eq!(browser.seen(".verdict strong").await?, "No");
    assert_eq!(browser.seen(".sentence").await?, SENTENCE);
    assert!(browser.title().await?.starts_with("No · "));
    // Problems first, and why.
    let first = browser.seen("tbody tr:first-child").await?;
    for part in ["Backup check", "Missing", "Temporal never started it"] {
        assert!(first.contains(part), "{first}");
    }
    browser.click("tbody tr:first-child summary").await?;
    let evidence = browser.seen("tbody tr:first-child details").await?;
    assert!(evidence.contains("no workflow of this time"), "{evidence}");
    assert!(
        browser
            .seen("[aria-labelledby=running]")
            .await?
            .contains("Repository sweep")
    );
    assert!(
        browser
            .seen("[aria-labelledby=next]")
            .await?
            .contains("Evening summary")
    );
    assert!(
        browser
            .seen("[aria-labelledby=dead-letters]")
            .await?
            .contains("None.")
    );

    let today = story.today;
    browser.follow("a[rel=prev]").await?;
    assert_eq!(
        browser.seen("h1").await?,
        format!("Did everything run on {}?", today.pred_opt().unwrap())
    );
    assert_eq!(
        browser.seen(".sentence").await?,
        "The one expected run is proven."
    );
    browser.follow(".days a[rel=next]").await?;
    assert_eq!(browser.seen(".sentence").await?, SENTENCE);
    browser.fill("#name", "triage").await?;
    browser.follow(".filter button").await?;
    assert_eq!(
        browser.seen(".sentence").await?,
        "The one expected run is proven."
    );

    browser.follow("tbody th a").await?;
    assert_eq!(browser.seen("h1").await?, "Daily State Hub WSJF triage");
    let days = browser.seen("[aria-labelledby=days] tbody").await?;
    assert_eq!(days.matches("1 of 1").count(), 7, "{days}");
    browser
        .follow("[aria-labelledby=runs] tbody tr:first-child th a")
        .await?;
    let run = browser.seen("main").await?;
    for part in [
        &story.triage_run.to_string(),
        "progress/4711",
        "Succeeded",
        "Workflow id",
    ] {
        assert!(run.contains(part), "{run}");
    }
    browser.close().await
}

#[tokio::test]
async fn feedback_is_given_without_a_script_and_shows_at_the_run() -> Result<()> {
    let (story, api) = tell("page-feedback").await?;
    let scriptless = Look {
        scripts: false,
        ..DESKTOP
    };
    let browser = Browser::start(scriptless).await?;
    let page = format!("{}/run/{}", api.api_url(), story.triage_run);
    browser.open(&page).await?;
    browser.click("input[value=Noisy]").await?;
    browser
        .fill("#comment", "Three of five were parked <b>on purpose</b>.")
        .await?;
    browser.follow(".feedback button").await?;
    browser.arrives(&format!("{page}#feedback")).await?;
    let given = browser.seen(".comments").await?;
    assert!(given.contains("parked <b>on purpose</b>."), "{given}");
    let hub = &story.place.environment.stand_ins().state_hub;
    testkit::wait::until("the note", crate::place::PATIENCE, || async {
        Ok::<_, anyhow::Error>((hub.entries().len() == 1).then_some(()))
    })
    .await?;
    assert_eq!(hub.entries()[0].event_type, "calibration_feedback");
    browser.close().await
}

/// What holds for every page: what a screen reader and a keyboard need.
const ACCESSIBLE: &str = r#"(() => {
    const wrong = [];
    const all = (selector) => [...document.querySelectorAll(selector)];
    if (document.documentElement.lang !== "en") wrong.push("no language");
    if (!document.title) wrong.push("no title");
    if (all("main").length !== 1) wrong.push("not one main");
    if (all("h1").length !== 1) wrong.push("not one h1");
    if (all("script, [style], style").length) wrong.push("scripts or styles in the page");
    for (const node of all("*")) {
        for (const name of node.getAttributeNames())
            if (name.startsWith("on")) wrong.push("a handler: " + name);
    }
    for (const nav of all("nav, section"))
        if (!nav.ariaLabel && !nav.getAttribute("aria-labelledby")) wrong.push("an unnamed region");
    for (const node of all("[aria-labelledby]"))
        if (!document.getElementById(node.getAttribute("aria-labelledby"))) wrong.push("a dangling label");
    const ids = all("[id]").map((node) => node.id);
    if (new Set(ids).size !== ids.length) wrong.push("an id twice");
    for (const cell of all("thead th")) if (cell.scope !== "col") wrong.push("a column without scope");
    for (const cell of all("tbody th")) if (cell.scope !== "row") wrong.push("a row without scope");
    for (const field of all("input:not([type=hidden]), textarea"))
        if (!field.labels.length) wrong.push("a field without label: " + field.name);
    for (const badge of all(".badge, .verdict"))
        if (!badge.textContent.replace(/[^A-Za-z]/g, "")) wrong.push("colour alone");
    for (const link of all("a")) if (!link.textContent.trim()) wrong.push("a link without text");
    const light = (colour) => {
        const [r, g, b] = colour.match(/[\d.]+/g).map((part) => {
            const value = part / 255;
            return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (node) => {
        for (; node; node = node.parentElement) {
            const colour = getComputedStyle(node).backgroundColor;
            if (!colour.startsWith("rgba(0, 0, 0, 0")) return colour;
        }
        return "rgb(255, 255, 255)";
    };
    for (const node of all("body *")) {
        const text = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
        if (!text) continue;
        const [one, other] = [light(getComputedStyle(node).color), light(ground(node))];
        const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        if (contrast < 4.5) wrong.push("contrast " + contrast.toFixed(2) + ": " + node.textContent.trim());
    }
    if (document.documentElement.scrollWidth > innerWidth) wrong.push("wider than the window");
    return wrong;
})()"#;

#[tokio::test]
async fn every_page_can_be_read_by_ear_by_keyboard_and_on_a_small_screen() -> Result<()> {
    let (story, api) = tell("page-access").await?;
    let browser = Browser::start(DESKTOP).await?;
    let root = api.api_url();
    let pages = [
        format!("{root}/"),
        format!("{root}/activity/{}", story.backup),
        format!("{root}/activity/{}/verify", story.triage),
        format!("{root}/run/{}", story.triage_run),
        format!("{root}/run/{}", uuid::Uuid::nil()),
    ];
    let small = Look {
        width: 390,
        height: 844,
        ..DESKTOP
    };
    for look in [
        DESKTOP,
        Look {
            dark: true,
            ..DESKTOP
        },
        small,
    ] {
        browser.look(look).await?;
        for page in &pages {
            browser.open(page).await?;
            let wrong = browser.evaluate(ACCESSIBLE).await?;
            assert_eq!(wrong, Value::Array(Vec::new()), "{page} {look:?}");
        }
        // Lines that are shown as cards stay a table for who can't see them.
        browser.open(&pages[0]).await?;
        assert_eq!(
            browser.heard("table").await?,
            ("table".into(), "Definitions".into())
        );
        assert_eq!(browser.heard("tbody th").await?.0, "rowheader");
        assert_eq!(browser.heard("main").await?.0, "main");
    }
    browser.open(&pages[0]).await?;
    browser.press(TAB).await?;
    let focus = "document.activeElement.textContent.trim()";
    assert_eq!(browser.evaluate(focus).await?, "Skip to the content");
    browser.press(ENTER).await?;
    assert_eq!(
        browser.evaluate("document.activeElement.id").await?,
        "content"
    );
    for expected in ["← Day before", "Day after →"] {
        browser.press(TAB).await?;
        assert_eq!(browser.evaluate(focus).await?, expected);
    }
    browser.close().await
}

#[tokio::test]
async fn the_pictures_in_the_documents_are_of_this_page() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/images");
    let is_wanted = std::env::var_os(PICTURES).is_some();
    let (story, api) = tell("activity-core").await?;
    let browser = Browser::start(DESKTOP).await?;
    let root = api.api_url();
    let activity = format!("{root}/activity/{}", story.triage);
    let run = format!("{root}/run/{}", story.triage_run);
    let phone = Look {
        width: 390,
        height: 844,
        ..DESKTOP
    };
    for (name, url, look) in [
        ("page-light", root.to_owned(), DESKTOP),
        (
            "page-dark",
            root.to_owned(),
            Look {
                dark: true,
                ..DESKTOP
            },
        ),
        ("page-phone", root.to_owned(), phone),
        ("definition", activity, DESKTOP),
        ("run", run, DESKTOP),
    ] {
        browser.look(look).await?;
        browser.open(&url).await?;
        let picture = browser.picture().await?;
        let path = folder.join(format!("{name}.png"));
        if is_wanted {
            std::fs::write(&path, picture)?;
        }
        anyhow::ensure!(path.is_file(), "{name}.png is missing; run `make pictures`");
    }
    browser.close().await
}
