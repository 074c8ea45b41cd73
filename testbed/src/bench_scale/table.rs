//! The tables, as Markdown.

use super::Part;
use crate::bench::figures::line;
use crate::bench::machine;

/// All parts.
pub fn markdown(facts: &[(&'static str, String)], parts: &[(&str, Part)], failures: &[String]) -> String {
    let mut text = String::from("# How Weft scales\n\n");
    machine::list(&mut text, facts);
    for (_, part) in parts {
        line(&mut text, format_args!("\n## {}\n", part.question));
        line(&mut text, format_args!("| {} |", part.head.join(" | ")));
        // The first column is words, the others are figures.
        line(&mut text, format_args!("|---|{}", "---:|".repeat(part.head.len().saturating_sub(1))));
        for row in &part.rows {
            line(&mut text, format_args!("| {} |", row.join(" | ")));
        }
        if !part.notes.is_empty() {
            text.push('\n');
        }
        part.notes.iter().for_each(|note| line(&mut text, format_args!("- {note}")));
    }
    if !failures.is_empty() {
        text += "\n## What went wrong\n\n";
        failures.iter().for_each(|failure| line(&mut text, format_args!("- {failure}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_a_question_a_table_and_notes() {
        let part = Part {
            question: "How many?",
            head: &["what", "how many"],
            rows: vec![vec!["ports".into(), "2".into()]],
            notes: vec!["Few.".into()],
            raw: serde_json::Value::Null,
        };
        let text = markdown(&[("cores", "2".into())], &[("many", part)], &["start: no".into()]);
        let wanted = "# How Weft scales\n\n- cores: 2\n\n## How many?\n\n| what | how many |\n|---|---:|\n| ports | 2 |\n\n\
                      - Few.\n\n## What went wrong\n\n- start: no\n";
        assert_eq!(text, wanted);
    }
}
