//! "Did you mean ...?"

/// What to say about a `word` that is none of `known`: the one that it resembles, or all of them if they are few.
pub(crate) fn among<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    if let Some(likely) = resembling(word, known.clone()) {
        return format!("did you mean `{likely}`?");
    }
    let few: Vec<&str> = known.take(17).collect();
    match few.len() {
        0 => "there is none".to_owned(),
        1 => format!("there is only {}", few[0]),
        17.. => format!("there are {}, ...", few[..8].join(", ")),
        _ => format!("there are {}", few.join(", ")),
    }
}

/// A text as messages show it: in backquotes, made printable, and cut if it is long.
pub(crate) fn quoted(text: &str) -> String {
    format!("`{}`", printable(text))
}

/// A text made printable, and cut if it is long.
pub(super) fn printable(text: &str) -> String {
    const MOST: usize = 48;
    let escape = |c: char| if matches!(c, '"' | '\'') { c.to_string() } else { c.escape_debug().to_string() };
    let mut shown: String = text.chars().take(MOST).map(escape).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push_str("...");
    }
    shown
}

fn resembling<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    let most = (word.len() / 3).clamp(1, 3);
    known
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_ascii_lowercase()), candidate))
        .filter(|&(distance, candidate)| distance <= most && distance < candidate.len())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}
