-- What was declared and in force at each time, and how far the audit has come: every expected time
-- of a cron definition has a row in activity_runs, decided from what held then.

-- One row for each change, none while nothing changes.
create table schedule_periods (
    -- No foreign key: the history of a deleted definition stays.
    activity_id uuid not null,
    effective_from timestamptz not null,
    state text not null,
    -- The cron trigger; null when nothing is expected (state Withdrawn).
    expression text,
    time_zone text,
    start_time timestamptz,
    end_time timestamptz,
    jitter_seconds bigint,
    -- Null when missed times are not caught up on.
    catch_up_seconds bigint,
    overlap text,
    -- The window of state Maintenance.
    window_uid uuid,
    window_name text,
    window_reason text,
    window_approved_by text,
    -- The generation of the spec that was in force.
    generation bigint not null,
    primary key (activity_id, effective_from),
    constraint schedule_periods_state_check
        check (state in ('Active', 'Disabled', 'Maintenance', 'Withdrawn')),
    constraint schedule_periods_trigger_check
        check ((state = 'Withdrawn') = (expression is null)),
    constraint schedule_periods_window_check
        check ((state = 'Maintenance') = (window_uid is not null))
);

-- How far each activity's expected times are decided.
create table audited_activities (
    activity_id uuid primary key,
    namespace text not null,
    name text not null,
    display_name text not null,
    grace_seconds bigint not null,
    -- Every expected time before it is decided.
    audited_until timestamptz not null,
    -- When there is something to decide next; null when nothing is expected any more.
    next_look timestamptz,
    -- Counts the periods, so that a pass that read an older state does not move next_look.
    revision bigint not null default 0
);

create index audited_activities_due on audited_activities (next_look)
    where next_look is not null;

-- When an operator was last at work; one row.
create table audit_passes (
    is_single boolean primary key default true,
    last_pass timestamptz not null,
    constraint audit_passes_only_check check (is_single)
);

-- The times in which none was.
create table audit_gaps (
    began_at timestamptz primary key,
    ended_at timestamptz not null
);

-- The progress notes about runs that a maintenance window left out: owed from the skip on, left once
-- the schedule is healthy again.
create table maintenance_notes (
    activity_id uuid not null,
    window_uid uuid not null,
    -- The first run that this opening of the window left out; its id is in the note.
    first_run_id uuid not null references activity_runs,
    window_name text not null,
    window_reason text not null,
    window_approved_by text not null,
    first_skipped timestamptz not null,
    last_skipped timestamptz not null,
    skipped bigint not null,
    left_at timestamptz,
    primary key (activity_id, window_uid, first_skipped)
);

create unique index maintenance_notes_owed on maintenance_notes (activity_id, window_uid)
    where left_at is null;

-- What an absent run's outcome rests on: a list of sentences.
alter table activity_runs add column evidence jsonb;

-- The expected times of one definition, and the runs that made up for them.
create index activity_runs_expected on activity_runs (activity_id, scheduled_for)
    where scheduled_for is not null;
