//! Postgres: fast and forgetful (no fsync), reached over TCP without a password.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use super::postgres_user::PostgresUser;
use super::{Place, READY_TIMEOUT};
use crate::components::Component;
use crate::ports::free_port;
use crate::process::{Command, DeathSignal, Process, start_on_free_ports};

/// The superuser, and the database that is made for it.
pub const SUPERUSER: &str = "actcore";

const INITDB_TIMEOUT: Duration = Duration::from_mins(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CREATE_TIMEOUT: Duration = Duration::from_secs(30);

/// A running Postgres.
#[derive(Debug)]
pub struct Postgres {
    pub(super) process: Process,
    port: u16,
}

impl Postgres {
    /// Starts it with its data in `place`, which is set up if it is empty.
    pub(super) async fn start(place: Place<'_>) -> Result<Self> {
        let program = place.components.program(Component::Postgres)?;
        let folder = place.make_data()?;
        let user = PostgresUser::find(&[&program, folder], &place.log).await?;
        let data = folder.join("data");
        initialise(
            &Initialise {
                program: &program,
                folder,
                data: &data,
                user: &user,
            },
            &place.log,
        )
        .await?;
        let server = start_on_free_ports("postgres", || async {
            let port = free_port()?;
            let process = serve(&program, &data, port, &user, &place.log)?;
            let database = url(port, "postgres");
            process.ready(READY_TIMEOUT, || connect(&database)).await?;
            Ok(Self { process, port })
        })
        .await?;
        server.create_database(SUPERUSER).await?;
        Ok(server)
    }

    /// The port on which it listens.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// The server's process: to end it and to start it again.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// `postgres://actcore@127.0.0.1:PORT/NAME`.
    pub fn url(&self, database: &str) -> String {
        url(self.port, database)
    }

    /// Carries out one statement as the superuser, outside of any test's database.
    pub async fn administer(&self, statement: &str) -> Result<()> {
        let administering = async {
            let mut connection = connect(&self.url("postgres"))
                .await?
                .context("no connection")?;
            sqlx::query(AssertSqlSafe(statement.to_owned()))
                .execute(&mut connection)
                .await?;
            connection.close().await?;
            anyhow::Ok(())
        };
        tokio::time::timeout(CREATE_TIMEOUT, administering)
            .await
            .context("Postgres does not answer")
            .flatten()
            .with_context(|| format!("failed to carry out {statement}"))
    }

    /// Makes a database unless it is there already.
    pub async fn create_database(&self, name: &str) -> Result<()> {
        let creating = async {
            let mut connection = connect(&self.url("postgres"))
                .await?
                .context("no connection")?;
            let there = sqlx::query("select from pg_database where datname = $1")
                .bind(name)
                .fetch_optional(&mut connection)
                .await?
                .is_some();
            if !there {
                let statement = format!("create database \"{}\"", name.replace('"', "\"\""));
                sqlx::query(AssertSqlSafe(statement))
                    .execute(&mut connection)
                    .await?;
            }
            connection.close().await?;
            anyhow::Ok(())
        };
        tokio::time::timeout(CREATE_TIMEOUT, creating)
            .await
            .context("Postgres does not answer")
            .flatten()
            .with_context(|| format!("failed to create the database {name}"))
    }
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://{SUPERUSER}@127.0.0.1:{port}/{database}")
}

async fn connect(url: &str) -> Result<Option<PgConnection>> {
    let connecting = PgConnection::connect(url);
    Ok(Some(
        tokio::time::timeout(CONNECT_TIMEOUT, connecting).await??,
    ))
}

struct Initialise<'a> {
    program: &'a Path,
    folder: &'a Path,
    data: &'a Path,
    user: &'a PostgresUser,
}

/// Makes the data folder; under another name first, so that a half-made one is never taken.
async fn initialise(parts: &Initialise<'_>, log: &PathBuf) -> Result<()> {
    let Initialise {
        program,
        folder,
        data,
        user,
    } = parts;
    if data.exists() {
        return Ok(());
    }
    let partial = folder.join("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).context("failed to remove half-made data of Postgres")?;
    }
    user.own(folder)?;
    let mut initdb = Command::new("initdb", program.with_file_name("initdb"), log)
        .flag("pgdata", partial.display())
        .flag("username", SUPERUSER)
        .flag("auth", "trust")
        .flag("encoding", "UTF8")
        .flag("locale", "C")
        .arguments(["--no-sync"]);
    initdb.privileges.clone_from(&user.privileges);
    initdb.directory = Some((*folder).to_owned());
    initdb.run(INITDB_TIMEOUT).await?;
    fs::rename(&partial, data).context("failed to put the data of Postgres into place")
}

fn serve(
    program: &Path,
    data: &Path,
    port: u16,
    user: &PostgresUser,
    log: &Path,
) -> Result<Process> {
    let mut command = Command::new("postgres", program, log)
        .flag("listen_addresses", "127.0.0.1")
        .flag("port", port)
        // The path of a socket may have 107 characters at most; a data folder can be longer.
        .flag("unix_socket_directories", "")
        .flag("max_connections", 300)
        // What is committed outlives the process, and need not outlive the machine.
        .flag("fsync", "off")
        .flag("full_page_writes", "off")
        // Files in the data folder: nothing stays in /dev/shm after a kill.
        .flag("dynamic_shared_memory_type", "mmap")
        .arguments(["-D".to_owned(), data.display().to_string()]);
    command.privileges.clone_from(&user.privileges);
    command.directory = data.parent().map(Path::to_owned);
    // Fast: open connections are ended. The default, SIGTERM, waits for them.
    command.stop_signal = Signal::INT;
    command.death_signal = DeathSignal::Quit;
    command.spawn()
}
