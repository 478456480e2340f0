//! Tests across programs live in `integration/`. Here is what a test and a command of its own run
//! alike, the one with a few hundred events and the other with many thousands.

pub mod endurance;
