//! Starts the shared servers, prints the environment of one test and waits for the end of its
//! input: to look around with `kubectl` or `temporal`, or to see what a killed owner leaves behind.
//!
//! Run it with `cargo run -p testkit --example hold_stack`.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use testkit::{Stack, StackOptions};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let stack = Stack::start(StackOptions::default()).await?;
    let environment = stack.environment("hold-stack").await?;
    for (name, value) in environment.env() {
        println!("export {name}='{value}'");
    }
    println!("folder {}", stack.folder().display());
    println!("ready");
    tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin())).await??;
    drop(environment);
    stack.stop().await
}
