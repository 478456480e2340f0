//! The name of a statement: its verb, and the table that it is about.

use super::super::{Call, Effect, Server};

/// Names a statement.
pub(super) fn name(sql: &str) -> Call {
    let words = words(sql);
    let verb = words.first().map_or("empty", String::as_str);
    let after = |keyword: &str| {
        // Of `for update skip locked`, the update is not the verb.
        let mut pairs = words.windows(2).filter(|pair| pair[0] == keyword);
        let pair = pairs.find(|pair| pair[1] != "skip" && pair[1] != "nowait")?;
        Some(pair[1].as_str())
    };
    let has = |word: &str| words.iter().any(|other| other == word);
    let named = |verb: &str, table: Option<&str>, effect| {
        let name = table.map_or_else(|| verb.to_owned(), |table| format!("{verb}-{table}"));
        Call::new(Server::Postgres, name, effect)
    };
    match verb {
        // What copes with what is there already can't clash with it.
        "insert" if has("conflict") => named("insert", after("into"), Effect::Update),
        "insert" => named("insert", after("into"), Effect::Create),
        "delete" => named("delete", after("from"), Effect::Delete),
        "update" => named("update", after("update"), Effect::Update),
        "commit" => named("commit", None, Effect::Update),
        "listen" => named("listen", after("listen"), Effect::Subscribe),
        "with" if has("insert") && has("conflict") => {
            named("insert", after("into"), Effect::Update)
        }
        "with" if has("insert") => named("insert", after("into"), Effect::Create),
        "with" if has("set") => named("update", after("update"), Effect::Update),
        "with" if has("delete") => named("delete", after("from"), Effect::Delete),
        // A lock is held by whoever asks, which is no effect that outlives the connection.
        "select" | "with" if has("for") && has("update") => {
            named("lock", after("from"), Effect::Read)
        }
        "select" | "with" if has("where") => named("select", after("from"), Effect::Read),
        "select" | "with" => match after("from") {
            Some(table) => named("list", Some(table), Effect::Read),
            None => named("select", None, Effect::Read),
        },
        other => named(other, None, Effect::Read),
    }
}

/// The words of a statement, in small letters, without comments, quotes and punctuation.
fn words(sql: &str) -> Vec<String> {
    let mut text = sql.to_lowercase();
    while let (Some(start), Some(end)) = (text.find("/*"), text.find("*/")) {
        if end < start {
            break;
        }
        text.replace_range(start..end + 2, " ");
    }
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != '.')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_insert_that_does_not_cope_with_what_is_there_can_clash() {
        let effect = |sql: &str| name(sql).effect;
        assert_eq!(effect("insert into a values (1)"), Effect::Create);
        let copes = "insert into a values (1) on conflict do nothing";
        assert_eq!(effect(copes), Effect::Update);
    }

    #[test]
    fn a_statement_is_named_by_its_verb_and_table() {
        for (sql, expected) in [
            (
                "insert into activity_runs\n (run_id) values ($1)",
                "insert-activity_runs",
            ),
            (
                "select a, b from activity_definitions where activity_id = $1 for update",
                "lock-activity_definitions",
            ),
            (
                "select a from activity_definitions where activity_id = $1",
                "select-activity_definitions",
            ),
            (
                "select a from activity_definitions order by a",
                "list-activity_definitions",
            ),
            ("/* SQLx ping */", "empty"),
            ("BEGIN", "begin"),
            ("LISTEN \"activity_core_runs\"", "listen-activity_core_runs"),
            ("select 1", "select"),
            (
                "with ended as (update activity_runs set x = 1 returning 1) select * from ended",
                "update-activity_runs",
            ),
            (
                "with due as (select 1 from run_feedback for update skip locked)
                 update run_feedback set x = 1",
                "update-run_feedback",
            ),
        ] {
            assert_eq!(name(sql).name, expected);
        }
    }
}
