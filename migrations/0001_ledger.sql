-- The mirror of the custom resources, the ledger of runs, and the deliveries to sinks.
--
-- Kubernetes is the source of truth for the mirror: losing these two tables loses nothing, the
-- operator fills them again. The ledger is evidence: nothing deletes from it.

create table activity_definitions (
    activity_id uuid primary key,
    namespace text not null,
    name text not null,
    -- The object behind the row, so that a namesake made later is not taken for it.
    uid uuid not null,
    generation bigint not null,
    display_name text not null,
    enabled boolean not null,
    -- The event type that is waited for; null for cron and manual definitions.
    event_type text,
    -- The custom resource's spec, as the API server stored it.
    spec jsonb not null,
    updated_at timestamptz not null default now(),
    constraint activity_definitions_object_key unique (namespace, name)
);

create index activity_definitions_event_type on activity_definitions (event_type)
    where event_type is not null;

create table event_types (
    name text not null,
    namespace text not null,
    uid uuid not null,
    generation bigint not null,
    description text,
    schema jsonb,
    validation text not null,
    updated_at timestamptz not null default now(),
    primary key (namespace, name),
    constraint event_types_validation_check check (validation in ('Enforce', 'Warn'))
);

create table activity_runs (
    run_id uuid primary key,
    -- No foreign key: the history of a deleted definition stays.
    activity_id uuid not null,
    activity_name text not null,
    trigger_kind text not null,
    trigger_key text not null,
    scheduled_for timestamptz,
    fired_at timestamptz,
    completed_at timestamptz,
    outcome text not null,
    -- Why the run did not end well, or what shows that it was skipped or missed.
    error text,
    workflow_id text,
    workflow_run_id text,
    trace_id text,
    -- What the instruction took.
    model text,
    prompt_sha256 text,
    prompt_tokens bigint,
    completion_tokens bigint,
    instruction_milliseconds bigint,
    created_at timestamptz not null default now(),
    constraint activity_runs_trigger_kind_check
        check (trigger_kind in ('schedule', 'event', 'manual', 'backfill')),
    constraint activity_runs_outcome_check
        check (outcome in ('Running', 'Succeeded', 'Failed', 'SkippedOverlap',
                           'SkippedMaintenance', 'SkippedDisabled', 'Missed')),
    -- A run that ended says when.
    constraint activity_runs_completed_check
        check ((outcome = 'Running') = (completed_at is null))
);

-- One definition's runs, newest first, paged by key; event runs sort by when they began.
create index activity_runs_history on activity_runs
    (activity_id, (coalesce(scheduled_for, fired_at, created_at)) desc, run_id desc);

-- What the audit looks for: runs that are still open.
create index activity_runs_running on activity_runs (fired_at) where outcome = 'Running';

-- What was expected and did not run, which status counts.
create index activity_runs_absent on activity_runs (activity_id, outcome)
    where outcome in ('SkippedOverlap', 'SkippedMaintenance', 'SkippedDisabled', 'Missed');

-- The operator hears of each run that begins or ends, and brings the status up to date.
create function notify_run_change() returns trigger language plpgsql as $$
begin
    perform pg_notify('activity_core_runs', new.activity_id::text);
    return null;
end
$$;

create trigger activity_runs_changed
    after insert or update of outcome on activity_runs
    for each row execute function notify_run_change();

-- An instruction's answer. It is kept out of Temporal's histories, which are limited in size, and
-- lets a retried run go on without asking the model again.
create table run_reports (
    run_id uuid primary key references activity_runs on delete cascade,
    body text not null,
    created_at timestamptz not null default now()
);

create table sink_deliveries (
    run_id uuid not null references activity_runs on delete cascade,
    -- The sink's name in the definition.
    sink text not null,
    kind text not null,
    result text not null,
    attempts integer not null default 0,
    -- The sink's own name for what was delivered: an id, a path, a URL.
    external_reference text,
    last_error text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (run_id, sink),
    constraint sink_deliveries_result_check
        check (result in ('Pending', 'Delivered', 'Exists', 'DryRun', 'Failed'))
);

-- Workers and routers hear of each change at once; the payload is only a hint what to read.
create function notify_definition_change() returns trigger language plpgsql as $$
begin
    perform pg_notify('activity_core_definitions', tg_table_name);
    return null;
end
$$;

create trigger activity_definitions_changed
    after insert or update or delete on activity_definitions
    for each statement execute function notify_definition_change();

create trigger event_types_changed
    after insert or update or delete on event_types
    for each statement execute function notify_definition_change();
