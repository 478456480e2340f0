//! The bugs.

use testkit::fault::{Claim, Plant, Server, Slip};

use super::Bug;

/// Every planted bug.
pub const BUGS: &[Bug] = &[
    Bug {
        name: "Schedule never made",
        pattern: "a write is believed, not made",
        plants: &[Plant {
            server: Server::Temporal,
            call: "CreateSchedule",
            slip: Slip::Never,
        }],
        plan: "create/operator",
    },
    Bug {
        name: "change never made",
        pattern: "a declared change has no effect",
        plants: &[Plant {
            server: Server::Temporal,
            call: "UpdateSchedule",
            slip: Slip::Never,
        }],
        plan: "change-schedule/operator",
    },
    Bug {
        name: "Schedule never deleted",
        pattern: "a leak: nothing cleans up",
        plants: &[Plant {
            server: Server::Temporal,
            call: "DeleteSchedule",
            slip: Slip::Never,
        }],
        plan: "delete/operator",
    },
    Bug {
        name: "pause never made",
        pattern: "a declared change has no effect",
        plants: &[Plant {
            server: Server::Temporal,
            call: "UpdateSchedule",
            slip: Slip::Never,
        }],
        plan: "disable/operator",
    },
    Bug {
        name: "resume never made",
        pattern: "an edge is missed",
        plants: &[Plant {
            server: Server::Temporal,
            call: "UpdateSchedule",
            slip: Slip::Never,
        }],
        plan: "enable/operator",
    },
    Bug {
        name: "maintenance window ignored",
        pattern: "a declared change has no effect",
        plants: &[Plant {
            server: Server::Temporal,
            call: "UpdateSchedule",
            slip: Slip::Never,
        }],
        plan: "maintenance/operator",
    },
    Bug {
        name: "Ready before the Schedule is there",
        pattern: "the status is set before the write",
        plants: &[Plant {
            server: Server::Temporal,
            call: "CreateSchedule",
            slip: Slip::Late,
        }],
        plan: "create/operator",
    },
    Bug {
        name: "Ready before the change is made",
        pattern: "the status is set before the write",
        plants: &[Plant {
            server: Server::Temporal,
            call: "UpdateSchedule",
            slip: Slip::Late,
        }],
        plan: "change-schedule/operator",
    },
    Bug {
        name: "finalizer gone before the Schedule",
        pattern: "a late write destroys what came after it",
        plants: &[Plant {
            server: Server::Temporal,
            call: "DeleteSchedule",
            slip: Slip::Late,
        }],
        plan: "rename/operator",
    },
    Bug {
        name: "catch-up window of a year",
        pattern: "a default of the managed system is left alone",
        plants: &[Plant {
            server: Server::Temporal,
            call: "CreateSchedule",
            slip: Slip::Forgets(&[3, 3, 2]),
        }],
        plan: "create/operator",
    },
    Bug {
        name: "overlap policy left out",
        pattern: "a field has no effect",
        plants: &[Plant {
            server: Server::Temporal,
            call: "UpdateSchedule",
            slip: Slip::Forgets(&[3, 3, 1]),
        }],
        plan: "change-schedule/operator",
    },
    Bug {
        name: "time zone left out",
        pattern: "a field has no effect",
        plants: &[Plant {
            server: Server::Temporal,
            call: "CreateSchedule",
            slip: Slip::Forgets(&[3, 1, 10]),
        }],
        plan: "create/operator",
    },
    Bug {
        name: "jitter left out",
        pattern: "a field has no effect",
        plants: &[Plant {
            server: Server::Temporal,
            call: "UpdateSchedule",
            slip: Slip::Forgets(&[3, 1, 6]),
        }],
        plan: "change-schedule/operator",
    },
    Bug {
        name: "times left out",
        pattern: "a field has no effect",
        plants: &[Plant {
            server: Server::Temporal,
            call: "UpdateSchedule",
            slip: Slip::Forgets(&[3, 1, 8]),
        }],
        plan: "change-schedule/operator",
    },
    Bug {
        name: "created without its pause",
        pattern: "only part of a spec is written",
        plants: &[Plant {
            server: Server::Temporal,
            call: "UpdateSchedule",
            slip: Slip::Forgets(&[3, 4, 2]),
        }],
        plan: "disable/operator",
    },
    Bug {
        name: "name in place of UID",
        pattern: "names are used in place of UIDs",
        plants: &[Plant {
            server: Server::Temporal,
            call: "CreateSchedule",
            slip: Slip::Forgets(&[7]),
        }],
        plan: "create/operator",
    },
    Bug {
        name: "Schedule that cannot be searched",
        pattern: "only part of a spec is written",
        plants: &[Plant {
            server: Server::Temporal,
            call: "CreateSchedule",
            slip: Slip::Forgets(&[8]),
        }],
        plan: "create/operator",
    },
    Bug {
        name: "workflow id of its own making",
        pattern: "an identity is not a function of what it stands for",
        plants: &[Plant {
            server: Server::Temporal,
            call: "CreateSchedule",
            slip: Slip::MakesUp(&[3, 2, 1, 1]),
        }],
        plan: "create/operator",
    },
    Bug {
        name: "task queue that nobody polls",
        pattern: "a misconfiguration of the managed system",
        plants: &[Plant {
            server: Server::Temporal,
            call: "CreateSchedule",
            slip: Slip::MakesUp(&[3, 2, 1, 3, 1]),
        }],
        plan: "create/operator",
    },
    Bug {
        name: "run without its activity",
        pattern: "only part of a spec is written",
        plants: &[Plant {
            server: Server::Temporal,
            call: "CreateSchedule",
            slip: Slip::Forgets(&[3, 2, 1, 4]),
        }],
        plan: "create/operator",
    },
    Bug {
        name: "every Schedule taken for missing",
        pattern: "what is read is not believed: needless writes",
        plants: &[
            Plant {
                server: Server::Temporal,
                call: "ListSchedules",
                slip: Slip::SeesNothing,
            },
            // What the list says is not believed before this says so too.
            Plant {
                server: Server::Temporal,
                call: "DescribeSchedule",
                slip: Slip::SeesNothing,
            },
        ],
        plan: "create/operator",
    },
    Bug {
        name: "run asked for and not started",
        pattern: "an intent is marked done before it is",
        plants: &[Plant {
            server: Server::Temporal,
            call: "StartWorkflowExecution",
            slip: Slip::Never,
        }],
        plan: "manual/operator",
    },
    Bug {
        name: "status never written",
        pattern: "the status is stale",
        plants: &[Plant {
            server: Server::Kubernetes,
            call: "patch-activitydefinitions.status",
            slip: Slip::Never,
        }],
        plan: "create/operator",
    },
    Bug {
        name: "generation never observed",
        pattern: "the status is stale",
        plants: &[Plant {
            server: Server::Kubernetes,
            call: "patch-activitydefinitions.status",
            slip: Slip::Claims("/status/observedGeneration", Claim::Number(0)),
        }],
        plan: "change-schedule/operator",
    },
    Bug {
        name: "all is well, always",
        pattern: "the status hides an error",
        plants: &[Plant {
            server: Server::Kubernetes,
            call: "patch-activitydefinitions.status",
            slip: Slip::Claims("/status/conditions", Claim::AllIsWell),
        }],
        plan: "create/operator/temporal:CreateSchedule#1/permanent",
    },
    Bug {
        name: "finalizer never taken off",
        pattern: "a deletion that never ends",
        plants: &[Plant {
            server: Server::Kubernetes,
            call: "patch-activitydefinitions",
            slip: Slip::Never,
        }],
        plan: "delete/operator",
    },
    Bug {
        name: "change of a spec unseen",
        pattern: "an event is missed and nothing looks again",
        plants: &[Plant {
            server: Server::Kubernetes,
            call: "event-activitydefinitions.modified",
            slip: Slip::Ignores,
        }],
        plan: "change-schedule/operator",
    },
    Bug {
        name: "deletion unseen",
        pattern: "an event is missed and nothing looks again",
        plants: &[Plant {
            server: Server::Kubernetes,
            call: "event-activitydefinitions.*",
            slip: Slip::Ignores,
        }],
        plan: "delete/operator",
    },
    Bug {
        name: "mirror row never kept",
        pattern: "a write is rolled back and called done",
        plants: &[Plant {
            server: Server::Postgres,
            call: "commit",
            slip: Slip::RollsBack,
        }],
        plan: "create/operator",
    },
    Bug {
        name: "mirror row never removed",
        pattern: "a leak: nothing cleans up",
        plants: &[Plant {
            server: Server::Postgres,
            call: "commit",
            slip: Slip::RollsBack,
        }],
        plan: "delete/operator",
    },
    Bug {
        name: "event acknowledged and not started",
        pattern: "the effect is skipped",
        plants: &[Plant {
            server: Server::Temporal,
            call: "StartWorkflowExecution",
            slip: Slip::Never,
        }],
        plan: "event/router",
    },
    Bug {
        name: "start under another id each time",
        pattern: "an identity is not a function of what it stands for",
        plants: &[Plant {
            server: Server::Temporal,
            call: "StartWorkflowExecution",
            slip: Slip::MakesUp(&[2]),
        }],
        plan: "event/router",
    },
    Bug {
        name: "start that may be repeated",
        pattern: "deduplication by a window only",
        plants: &[Plant {
            server: Server::Temporal,
            call: "StartWorkflowExecution",
            slip: Slip::Mistakes(&[11], 1),
        }],
        plan: "event/router/nats:ack#1/time-out",
    },
    Bug {
        name: "acknowledged before the start",
        pattern: "acknowledged before the effect is durable",
        plants: &[Plant {
            server: Server::Nats,
            call: "message",
            slip: Slip::AcknowledgesEarly,
        }],
        plan: "event/router/temporal:StartWorkflowExecution#1/crash-before",
    },
    Bug {
        name: "never acknowledged",
        pattern: "delivered for ever",
        plants: &[Plant {
            server: Server::Nats,
            call: "ack",
            slip: Slip::Never,
        }],
        plan: "event/router",
    },
    Bug {
        name: "report never sent",
        pattern: "a write is believed, not made",
        plants: &[Plant {
            server: Server::StateHub,
            call: "post-progress",
            slip: Slip::Never,
        }],
        plan: "manual/worker",
    },
    Bug {
        name: "report sent twice",
        pattern: "an effect without an idempotency key",
        plants: &[Plant {
            server: Server::StateHub,
            call: "post-progress",
            slip: Slip::Twice,
        }],
        plan: "manual/worker",
    },
    Bug {
        name: "webhook never called",
        pattern: "a write is believed, not made",
        plants: &[Plant {
            server: Server::Webhook,
            call: "post-hook",
            slip: Slip::Never,
        }],
        plan: "manual/worker",
    },
    Bug {
        name: "task never filed",
        pattern: "a write is believed, not made",
        plants: &[Plant {
            server: Server::IssueCore,
            call: "post-issues",
            slip: Slip::Never,
        }],
        plan: "manual/worker",
    },
    Bug {
        name: "task filed twice",
        pattern: "an effect without an idempotency key",
        plants: &[Plant {
            server: Server::IssueCore,
            call: "post-issues",
            slip: Slip::Twice,
        }],
        plan: "manual/worker",
    },
    Bug {
        name: "ledger never written",
        pattern: "progress is kept in memory only",
        plants: &[Plant {
            server: Server::Postgres,
            call: "commit",
            slip: Slip::RollsBack,
        }],
        plan: "manual/worker",
    },
    Bug {
        name: "yes without a definition",
        pattern: "the answer comes before the write",
        plants: &[Plant {
            server: Server::Kubernetes,
            call: "create-activitydefinitions",
            slip: Slip::Never,
        }],
        plan: "api-create/api",
    },
    Bug {
        name: "yes without a change",
        pattern: "the answer comes before the write",
        plants: &[Plant {
            server: Server::Kubernetes,
            call: "replace-activitydefinitions",
            slip: Slip::Never,
        }],
        plan: "api-update/api",
    },
    Bug {
        name: "yes without a deletion",
        pattern: "the answer comes before the write",
        plants: &[Plant {
            server: Server::Kubernetes,
            call: "delete-activitydefinitions",
            slip: Slip::Never,
        }],
        plan: "api-delete/api",
    },
    Bug {
        name: "run that the caller cannot find",
        pattern: "an identity is not a function of what it stands for",
        plants: &[Plant {
            server: Server::Temporal,
            call: "StartWorkflowExecution",
            slip: Slip::MakesUp(&[2]),
        }],
        plan: "api-trigger/api",
    },
    Bug {
        name: "yes without a run",
        pattern: "the answer comes before the write",
        plants: &[Plant {
            server: Server::Temporal,
            call: "StartWorkflowExecution",
            slip: Slip::Never,
        }],
        plan: "api-trigger/api",
    },
];
