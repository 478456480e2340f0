-- The version of what routing reads: the definitions that wait for events, and the event types. A
-- router asks for it while events wait, so asking must not cost more as definitions grow.
--
-- A counter and not a sequence: it changes with the transaction that changes the mirror, so nobody
-- sees a new version with old rows. It is spread over rows so that transactions do not queue; each
-- writes to one of them only, so they can't wait for each other in a circle.

create table mirror_versions (
    shard smallint primary key,
    changes bigint not null default 0
);

insert into mirror_versions (shard) select generate_series(0, 15);

create function count_mirror_change() returns trigger language plpgsql as $$
begin
    update mirror_versions set changes = changes + 1
    where shard = pg_current_xact_id()::text::bigint % 16;
    return null;
end
$$;

create trigger activity_definitions_inserted
    after insert on activity_definitions
    for each row when (new.event_type is not null) execute function count_mirror_change();

create trigger activity_definitions_updated
    after update on activity_definitions
    for each row when (old.event_type is not null or new.event_type is not null)
    execute function count_mirror_change();

create trigger activity_definitions_deleted
    after delete on activity_definitions
    for each row when (old.event_type is not null) execute function count_mirror_change();

create trigger event_types_counted
    after insert or update or delete on event_types
    for each row execute function count_mirror_change();
