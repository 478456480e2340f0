//! `actcore-dev`: the development stack from a shell.

#![expect(
    clippy::print_stdout,
    reason = "the endpoints are what a person asks for"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::{Parser, Subcommand};
use testkit::components::Components;
use testkit::demo;
use testkit::dev::{self, DevFolder, Volumes};
use testkit::image;
use testkit::node::{self, Node};
use testkit::progress::Progress;

/// Starts and stops all servers and programs on this machine.
#[derive(Debug, Parser)]
#[command(name = "actcore-dev", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// The folder of the stack.
    #[arg(long, global = true, default_value = ".dev")]
    dir: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts everything in the background and prints where it is.
    Up,
    /// Starts everything and shows the main job, from kubectl apply to a proven run.
    Demo,
    /// Stops everything.
    Down {
        /// Remove the data too.
        #[arg(long)]
        volumes: bool,
    },
    /// Prints how everything is and where.
    Status,
    /// Only gets the server programs into the cache.
    Fetch,
    /// Starts a Kubernetes node without a container engine, as root, and keeps it until Ctrl-C.
    Node,
    /// Puts the image of activity-core together without a container engine.
    Image(ImageArguments),
    /// Owns the processes of a stack; started by `up`.
    #[command(hide = true)]
    Supervise,
    /// Owns the processes of a node; started by `node`.
    #[command(hide = true)]
    SuperviseNode,
}

#[tokio::main]
async fn main() -> ExitCode {
    run(Arguments::parse()).await.unwrap_or_else(|error| {
        eprintln!("actcore-dev: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(arguments: Arguments) -> Result<ExitCode> {
    let Arguments { command, dir } = arguments;
    let folder = DevFolder::new(&dir)?;
    let progress = Progress::on_stderr();
    match command {
        Command::Up => {
            let endpoints = dev::up(&folder, &progress).await?;
            println!("{}\n", dev::table(endpoints.rows()));
            println!("In a shell: . {}", folder.env().display());
        }
        Command::Demo => {
            let started = Instant::now();
            let endpoints = dev::up(&folder, &progress).await?;
            demo::run(&endpoints, started).await?;
            demo::next_things(&endpoints, &folder.env());
        }
        Command::Down { volumes } => {
            let volumes = if volumes {
                Volumes::Remove
            } else {
                Volumes::Keep
            };
            dev::down(&folder, volumes, &progress).await?;
        }
        Command::Status => return print_status(&folder).await,
        Command::Fetch => {
            Components::resolve(&progress).await?;
        }
        Command::Node => hold_node(&progress).await?,
        Command::Image(arguments) => arguments.run()?,
        Command::Supervise => dev::supervise(&folder).await?,
        Command::SuperviseNode => node::supervise(&dir).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What becomes an image, and where it goes.
#[derive(Debug, clap::Args)]
struct ImageArguments {
    /// The folder of the built programs, of whichever profile and target.
    #[arg(long)]
    from: PathBuf,
    /// The name and tag of the image.
    #[arg(long, default_value = concat!("docker.io/library/activity-core:", env!("CARGO_PKG_VERSION")))]
    name: String,
    /// The archive to write, for `ctr images import`, `docker load` or `skopeo copy oci-archive:`.
    #[arg(long, default_value = "activity-core.tar")]
    output: PathBuf,
}

impl ImageArguments {
    fn run(&self) -> Result<()> {
        let Self { from, name, output } = self;
        let output = std::path::absolute(output)?;
        let archive = image::contents::activity_core(name, from)?.write(&output)?;
        println!(
            "{archive}
{}",
            archive.path.display()
        );
        Ok(())
    }
}

async fn hold_node(progress: &Progress) -> Result<()> {
    let node = Node::start(progress).await?;
    println!("export KUBECONFIG={}", node.kubeconfig().display());
    println!(
        "Logs: {}
Ctrl-C ends the node.",
        node.logs().display()
    );
    tokio::select! {
        ended = node.ended() => return ended,
        told = tokio::signal::ctrl_c() => told?,
    }
    node.stop().await
}

/// Exits with 3 when no stack is up, as `systemctl status` does, and with 1 when it is not well.
async fn print_status(folder: &DevFolder) -> Result<ExitCode> {
    let Some(status) = dev::status(folder).await? else {
        println!("no stack is up");
        return Ok(ExitCode::from(3));
    };
    println!("{}\n", dev::table(status.processes));
    if !status.supervised {
        println!("the supervisor was killed; `make up` starts the stack anew");
    }
    if let Some(endpoints) = &status.stack.endpoints {
        println!("{}", dev::table(endpoints.rows()));
    }
    Ok(if status.well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
