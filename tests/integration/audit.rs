//! Every expected time has a row in the ledger, with what became of it and what that rests on: on
//! real servers, with times a few seconds apart.

mod absence;
mod expected_times;
mod silent;
mod watched;
