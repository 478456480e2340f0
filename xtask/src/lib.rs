//! Developer commands, as a library so that a test can say when generated files are stale.

pub mod generate;
