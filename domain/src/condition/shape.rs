//! The shape of an expression: what it refers to, how deep it is, and how many steps it may take on
//! a payload. A bound, not an estimate.

use std::collections::BTreeSet;

use cel::common::ast::operators::ADD;
use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedExpr};
use serde_json::Value;

/// What an expression looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    /// The names that it takes from outside.
    pub(super) names: BTreeSet<String>,
    /// How many expressions stand inside of each other.
    pub(super) depth: usize,
    /// How many loops (`all`, `exists`, `exists_one`, `map`, `filter`) do.
    pub(super) loops: u32,
    nodes: usize,
    additions: usize,
    listed: usize,
}

impl Shape {
    /// Looks at an expression.
    pub(super) fn of(expression: &IdedExpr) -> Self {
        let mut survey = Survey::default();
        survey.visit(expression, 1, 0);
        Self {
            names: survey.names,
            depth: survey.depth,
            loops: survey.loops,
            nodes: survey.nodes,
            additions: survey.additions,
            listed: survey.listed,
        }
    }

    /// The most steps on a payload. A loop runs over no more than the payload has values, as often
    /// as the expression adds them together, and what it lists itself; nothing else repeats
    /// anything.
    pub(super) fn steps(&self, payload: &Value) -> usize {
        if self.loops == 0 {
            // Nothing depends on the payload then, and most conditions are like that.
            return self.nodes;
        }
        let longest = values(payload).saturating_mul(self.additions + 1);
        longest
            .saturating_add(self.listed)
            .saturating_pow(self.loops)
            .saturating_mul(self.nodes)
    }
}

fn values(payload: &Value) -> usize {
    let mut count = 0;
    let mut open = vec![payload];
    while let Some(value) = open.pop() {
        count += 1;
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(members) => open.extend(members.values()),
            _ => {}
        }
    }
    count
}

#[derive(Default)]
struct Survey {
    names: BTreeSet<String>,
    depth: usize,
    loops: u32,
    nodes: usize,
    additions: usize,
    listed: usize,
    /// The variables of the loops around.
    bound: Vec<String>,
}

impl Survey {
    fn visit(&mut self, expression: &IdedExpr, depth: usize, loops: u32) {
        self.nodes += 1;
        self.depth = self.depth.max(depth);
        self.loops = self.loops.max(loops);
        let inner = depth + 1;
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => {}
            Expr::Ident(name) => {
                if !self.bound.contains(name) {
                    self.names.insert(name.clone());
                }
            }
            Expr::Call(call) => {
                self.additions += usize::from(call.func_name == ADD);
                let target = call.target.as_deref();
                for part in target.into_iter().chain(&call.args) {
                    self.visit(part, inner, loops);
                }
            }
            Expr::Select(select) => self.visit(&select.operand, inner, loops),
            Expr::List(list) => {
                self.listed += list.elements.len();
                for element in &list.elements {
                    self.visit(element, inner, loops);
                }
            }
            Expr::Map(map) => self.visit_entries(&map.entries, inner, loops),
            Expr::Struct(object) => self.visit_entries(&object.entries, inner, loops),
            Expr::Comprehension(comprehension) => self.visit_loop(comprehension, inner, loops),
        }
    }

    fn visit_entries(
        &mut self,
        entries: &[cel::common::ast::IdedEntryExpr],
        depth: usize,
        loops: u32,
    ) {
        self.listed += entries.len();
        for entry in entries {
            match &entry.expr {
                EntryExpr::StructField(field) => self.visit(&field.value, depth, loops),
                EntryExpr::MapEntry(entry) => {
                    self.visit(&entry.key, depth, loops);
                    self.visit(&entry.value, depth, loops);
                }
            }
        }
    }

    fn visit_loop(&mut self, comprehension: &ComprehensionExpr, depth: usize, loops: u32) {
        // Its range may be a loop too, and then yields as many lists as that one made.
        self.visit(&comprehension.iter_range, depth, loops + 1);
        self.visit(&comprehension.accu_init, depth, loops);
        let outside = self.bound.len();
        self.bound.push(comprehension.accu_var.clone());
        self.bound.push(comprehension.iter_var.clone());
        self.bound.extend(comprehension.iter_var2.clone());
        self.visit(&comprehension.loop_cond, depth, loops + 1);
        self.visit(&comprehension.loop_step, depth, loops + 1);
        self.visit(&comprehension.result, depth, loops);
        self.bound.truncate(outside);
    }
}
