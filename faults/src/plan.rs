//! One line that says everything: workload, program, and which call is struck how.

use std::fmt;
use std::str::FromStr;

use testkit::Program;
use testkit::fault::Fault;

use crate::workload::Workload;

/// What is done, and what befalls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What is done.
    pub workload: Workload,
    /// Whose calls are struck.
    pub program: Program,
    /// The faults; none is the reference run, two are a pair.
    pub faults: Vec<Fault>,
}

/// Programs by the names that plans use.
const PROGRAMS: [(&str, Program); 4] = [
    ("operator", Program::Operator),
    ("worker", Program::Worker),
    ("router", Program::EventRouter),
    ("api", Program::Api),
];

/// The name of a program in plans and tables.
pub fn program_name(program: Program) -> &'static str {
    PROGRAMS
        .iter()
        .find(|(_, other)| *other == program)
        .map_or("", |(name, _)| name)
}

/// The program of a name.
pub fn program_by_name(name: &str) -> Option<Program> {
    let found = PROGRAMS.into_iter().find(|(known, _)| *known == name);
    found.map(|(_, program)| program)
}

impl Plan {
    /// A number that depends on nothing but the plan and the seed: it chooses where a server may
    /// answer in several ways.
    pub fn variant(&self, seed: u64) -> u64 {
        // FNV-1a
        self.to_string()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325 ^ seed, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            })
            >> 17
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = program_name(self.program);
        write!(formatter, "{}/{program}", self.workload)?;
        for (index, fault) in self.faults.iter().enumerate() {
            let separator = if index == 0 { '/' } else { '+' };
            write!(formatter, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, '/');
        let workload = parts.next().unwrap_or_default().parse()?;
        let name = parts
            .next()
            .ok_or_else(|| format!("{text} is not WORKLOAD/PROGRAM/SERVER:CALL#N/KIND"))?;
        let program = program_by_name(name).ok_or_else(|| format!("{name} is no program"))?;
        let faults = parts
            .next()
            .map(|faults| faults.split('+').map(str::parse).collect())
            .transpose()?
            .unwrap_or_default();
        Ok(Self {
            workload,
            program,
            faults,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_as_it_is_written() {
        for text in [
            "create/operator",
            "create/operator/temporal:CreateSchedule#1/reply-lost",
            "event/router/nats:ack#1/cut+temporal:StartWorkflowExecution#1/slow",
        ] {
            assert_eq!(text.parse::<Plan>().unwrap().to_string(), text);
        }
        assert!("create/nobody".parse::<Plan>().is_err());
    }
}
