//! `actcore import`: the predecessor's table, as SQLAlchemy made it, becomes custom resources that
//! the cluster accepts and the operator carries out.

use anyhow::{Context as _, Result};
use contracts::names;
use domain::ActivityId;
use store::MirrorRow;
use testkit::Program;
use uuid::Uuid;

use crate::place::Place;
use crate::verify::command::Actcore;

const REPORT_ID: &str = "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f";

/// As the predecessor's migrations leave it, with rows of every kind.
const PREDECESSOR: &str = r#"
create type triggertype as enum ('CRON', 'EVENT');
create table activity_definitions (
    id uuid primary key,
    name varchar(255) not null,
    enabled boolean not null,
    trigger_type triggertype not null,
    trigger_config json not null,
    instruction json,
    created_at timestamptz not null default now(),
    updated_at timestamptz
);
insert into activity_definitions (id, name, enabled, trigger_type, trigger_config, instruction)
values
  ('0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f', 'Daily report', true, 'CRON',
   '{"trigger_type": "cron", "cron_expression": "0 9 * * 1-5", "timezone": "Europe/Berlin",
     "misfire_policy": "skip"}', null),
  ('0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e70', 'user-onboarding', false, 'EVENT',
   '{"event_type": "user.created", "filters": {"tier": "pro"}}', '{"model": "small"}'),
  ('0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e71', 'broken', true, 'CRON',
   '{"trigger_type": "cron", "cron_expression": "0 9 * * 1-5", "timezone": "Mars/Base"}', null);
"#;

#[tokio::test]
async fn the_predecessors_definitions_go_on_under_their_own_ids() -> Result<()> {
    let place = Place::new("import").await?;
    let _operator = place.environment.start(Program::Operator, []).await?;
    // A data base of its own, as it would be.
    let administrator = place.administrator().await?;
    let database = format!("{}_predecessor", place.database_name());
    administrator.create(&database).await?;
    let ours = place.environment.database_url();
    let url = ours.replace(&place.database_name(), &database);
    let predecessor = sqlx::PgPool::connect(&url).await?;
    sqlx::raw_sql(PREDECESSOR).execute(&predecessor).await?;

    let actcore = Actcore::new(place.environment.env());
    let python_url = url.replacen("postgres://", "postgresql+asyncpg://", 1);
    let from = ["import", "--from-url", &python_url];
    let printed = actcore.run(&from).await?;
    assert_eq!(printed.code, 1, "{printed:?}");
    for told in [
        "refused: row 2 (broken): ActivityDefinition broken: spec.trigger.cron.timezone: ",
        "note: row 3 (user-onboarding): column instruction has no counterpart",
        "2 of 3 definitions taken over",
    ] {
        assert!(printed.stderr.contains(told), "{told}: {printed:?}");
    }
    let file = place.environment.folder().join("definitions.yaml");
    std::fs::write(&file, &printed.stdout)?;

    let namespace = ["-n", place.environment.namespace()];
    let apply = actcore
        .run(&[&from[..], &["--apply"], &namespace].concat())
        .await?;
    assert_eq!(apply.stdout.matches(" created\n").count(), 2, "{apply:?}");
    // What was printed says the same as what was applied.
    let sync = ["sync", "-f", file.to_str().context("no UTF-8")?];
    let sync = actcore.run(&[&sync[..], &namespace].concat()).await?;
    assert_eq!(sync.stdout.matches(" unchanged\n").count(), 2, "{sync:?}");

    let found = actcore
        .run(&[&["get", "Daily report", "-o", "json"][..], &namespace].concat())
        .await?;
    assert_eq!(found.json()[0]["activityId"], REPORT_ID, "{found:?}");
    let name = found.json()[0]["name"]
        .as_str()
        .context("no name")?
        .to_owned();
    let object = place.condition(&name, "Ready", ("True", "Synced")).await?;
    let activity: ActivityId = REPORT_ID.parse()?;
    assert_eq!(
        object.status.and_then(|status| status.schedule_id),
        Some(names::schedule_id(activity))
    );
    assert!(place.temporal.schedule(activity).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn our_own_mirror_is_not_taken_for_the_predecessors_table() -> Result<()> {
    let place = Place::new("import own").await?;
    let actcore = Actcore::new(place.environment.env());
    let id = Uuid::new_v4();
    let row = MirrorRow {
        activity_id: id,
        namespace: "here".to_owned(),
        name: "daily".to_owned(),
        uid: id,
        generation: 1,
        display_name: "daily".to_owned(),
        enabled: true,
        event_type: None,
        spec: serde_json::json!({}),
    };
    place.store.write_definition(&row).await?;
    let own = place.environment.database_url();
    let mirror = actcore.run(&["import", "--from-url", own]).await?;
    assert_eq!((mirror.code, mirror.stdout.as_str()), (1, ""), "{mirror:?}");
    assert!(
        mirror.stderr.contains("activity-core's own mirror"),
        "{mirror:?}"
    );
    let away = actcore
        .run(&["import", "--from-url", "postgres://x@127.0.0.1:1/x"])
        .await?;
    assert_eq!(away.code, 2, "{away:?}");
    Ok(())
}
