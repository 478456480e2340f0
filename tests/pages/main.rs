//! The paging policy, from fault to page: the real programs and servers on this machine, a real
//! Prometheus with the chart's rules, a real Alertmanager with the chart's inhibitions, and
//! somebody who is told.
//!
//! `make pages` runs it and writes `docs/paging.md`. What a kubelet does is done here: somebody
//! asks each program for its readiness, and Prometheus is told where each is.

mod calm;
mod fault;
mod journey;
mod kubelet;
mod monitoring;
mod planned;
mod rules;
mod table;
mod ward;
