//! `${NAME}` and `${NAME:-default}` in option values. Definitions are stored unexpanded, so that
//! secrets stay in the environment; values are expanded each time a definition is checked.
//! Called by `options` only.

use crate::error::{Error, Result};

/// Where `${NAME}` is looked up, usually the process environment.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Expands every `${…}`; `$${` stands for `${` itself. An unset name without a default is an
/// error; with `:-` an empty value counts as unset, as in a shell.
pub fn expand(text: &str, env: Env<'_>) -> Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, reference) = rest.split_at(at);
        if let Some(escaped) = before.strip_suffix('$') {
            out.push_str(escaped);
            out.push_str("${");
            rest = reference.strip_prefix("${").unwrap_or_default();
            continue;
        }
        out.push_str(before);
        let body = reference.strip_prefix("${").unwrap_or_default();
        let Some((body, tail)) = body.split_once('}') else {
            return Err(Error::usage("'${' without its '}'").with_hint("write ${NAME}"));
        };
        out.push_str(&value_of(body, env)?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

fn value_of(body: &str, env: Env<'_>) -> Result<String> {
    let (name, default) = match body.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (body, None),
    };
    let mut chars = name.chars();
    let valid = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !valid {
        return Err(Error::usage(format!(
            "{} is no name of an environment variable",
            crate::sql::diagnostic::quoted(name)
        ))
        .with_hint("write ${NAME} or ${NAME:-default}"));
    }
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Error::usage(format!("the environment variable '{name}' is not set"))
            .with_hint(format!("set it, or write ${{{name}:-default}}"))),
    }
}

/// Whether the whole text is one reference without a default, and so tells no secret.
pub fn is_reference(text: &str) -> bool {
    text.strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}
