//! From a recorded run to plans: each call × each kind of fault that can befall it.

use std::collections::BTreeMap;

use testkit::Program;
use testkit::fault::{Call, Fault, Kind};

use crate::plan::Plan;
use crate::random::Random;
use crate::trial::Trial;
use crate::workload::Workload;

/// How many occurrences of one call are struck, each by itself. What comes after that is more of
/// the same: the bulk workload makes one call sixty times.
const MOST_OCCURRENCES: usize = 3;

/// How many of a call that the clock makes: leases, probes, comparisons.
const MOST_REGULAR: usize = 1;

/// The calls of one program in one workload, each with how many of its occurrences are struck.
#[derive(Debug, Clone)]
pub struct Recording {
    /// What was done.
    pub workload: Workload,
    /// Whose calls these are.
    pub program: Program,
    /// The calls.
    pub calls: BTreeMap<Call, usize>,
}

/// Counts the calls of a run without faults.
pub fn record(plan: &Plan, trial: &Trial) -> Recording {
    let (before, after) = trial
        .calls
        .split_at(trial.until_converged.min(trial.calls.len()));
    let mut calls: BTreeMap<Call, usize> = BTreeMap::new();
    for met in before {
        *calls.entry(met.call.clone()).or_default() += 1;
    }
    for (call, count) in &mut calls {
        let is_regular = after.iter().any(|met| met.call == *call);
        let most = if is_regular {
            MOST_REGULAR
        } else {
            MOST_OCCURRENCES
        };
        *count = (*count).min(most);
    }
    for met in after {
        calls.entry(met.call.clone()).or_insert(1);
    }
    Recording {
        workload: plan.workload,
        program: plan.program,
        calls,
    }
}

/// Every plan with one fault.
pub fn singles(recording: &Recording) -> Vec<Plan> {
    faults(recording)
        .map(|fault| Plan {
            workload: recording.workload,
            program: recording.program,
            faults: vec![fault],
        })
        .collect()
}

fn faults(recording: &Recording) -> impl Iterator<Item = Fault> {
    recording.calls.iter().flat_map(|(call, count)| {
        let kinds = Kind::ALL
            .into_iter()
            .filter(|kind| kind.does_not_apply_to(call).is_none());
        kinds.flat_map(move |kind| {
            (1..=*count).map(move |occurrence| Fault {
                server: call.server,
                call: call.name.clone(),
                occurrence,
                kind,
            })
        })
    })
}

/// So many plans with two faults, drawn by the seed.
pub fn pairs(recordings: &[Recording], count: usize, seed: u64) -> Vec<Plan> {
    let mut random = Random::new(seed);
    let mut plans = Vec::new();
    while plans.len() < count && !recordings.is_empty() {
        let recording = &recordings[random.below(recordings.len())];
        let faults: Vec<Fault> = faults(recording).collect();
        if faults.len() < 2 {
            continue;
        }
        let first = faults[random.below(faults.len())].clone();
        let second = faults[random.below(faults.len())].clone();
        if (first.server, &first.call, first.occurrence)
            == (second.server, &second.call, second.occurrence)
        {
            continue;
        }
        plans.push(Plan {
            workload: recording.workload,
            program: recording.program,
            faults: vec![first, second],
        });
    }
    plans
}

/// The plans in the order in which they say most: the first occurrence of each call before the
/// second, and drawn by the seed among these, so that whatever has been run is a fair sample.
pub fn in_order(plans: Vec<Plan>, seed: u64) -> Vec<Plan> {
    let count = plans.len();
    let mut plans = sample(plans, count, seed);
    let occurrence = |plan: &Plan| plan.faults.iter().map(|fault| fault.occurrence).max();
    plans.sort_by_key(occurrence);
    plans
}

/// So many of the plans, drawn by the seed.
pub fn sample(mut plans: Vec<Plan>, count: usize, seed: u64) -> Vec<Plan> {
    Random::new(seed).shuffle(&mut plans);
    plans.truncate(count);
    plans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_draws_the_same_plans_again() {
        let plan = |number: usize| -> Plan {
            format!("create/operator/temporal:CreateSchedule#{number}/slow")
                .parse()
                .unwrap()
        };
        let plans: Vec<Plan> = (1..50).map(plan).collect();
        assert_eq!(sample(plans.clone(), 5, 7), sample(plans.clone(), 5, 7));
        assert_ne!(sample(plans.clone(), 5, 7), sample(plans, 5, 8));
    }

    #[test]
    fn each_call_is_struck_once_before_any_is_struck_again() {
        let plan = |number: usize| -> Plan {
            let (call, occurrence) = (number / 3, number % 3 + 1);
            format!("create/operator/temporal:Call{call}#{occurrence}/slow")
                .parse()
                .unwrap()
        };
        let plans = in_order((0..30).map(plan).collect(), 1);
        let occurrences: Vec<usize> = plans.iter().map(|plan| plan.faults[0].occurrence).collect();
        assert!(occurrences.is_sorted());
    }
}
