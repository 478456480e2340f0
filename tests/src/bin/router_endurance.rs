//! `router-endurance`: many events, and everything killed that can be; prints what was counted.

#![expect(
    clippy::print_stdout,
    reason = "the figures are what a person asks for"
)]

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use testkit::{Stack, StackOptions};
use tests::endurance::{self, Options};

/// Publishes events while routers, NATS and Temporal are killed, and counts what came of it.
#[derive(Debug, Parser)]
#[command(name = "router-endurance", version)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let stack = Stack::start(StackOptions {
        temporal_namespaces: 1,
        ..StackOptions::default()
    })
    .await?;
    let report = endurance::run(&stack, &arguments.options).await?;
    println!("{report}");
    Ok(if report.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
