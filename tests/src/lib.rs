//! Tests across programs live in `integration/`; this library is empty on purpose.
