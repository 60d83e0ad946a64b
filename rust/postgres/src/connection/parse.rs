//! The two forms of a connection string.

use crate::connection::keys::{Settings, wrong};
use duewheel_store::Error;
use percent_encoding::percent_decode_str;

fn decoded(part: &str) -> Result<String, Error> {
    let text = percent_decode_str(part).decode_utf8();
    text.map(Into::into)
        .map_err(|_| wrong("it is not UTF-8 once its percent signs are decoded"))
}

/// What stands behind the scheme: `[user[:password]@][host[:port],…][/dbname][?key=value&…]`.
pub(super) fn uri(rest: &str) -> Result<Settings, Error> {
    let mut given = Settings::new();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, dbname) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(',') {
        let (name, port) = if let Some(bracketed) = host.strip_prefix('[') {
            let (name, port) = bracketed
                .split_once(']')
                .ok_or_else(|| wrong(format!("{host:?} lacks its ']'")))?;
            (name, port.strip_prefix(':').unwrap_or(""))
        } else {
            host.split_once(':').unwrap_or((host, ""))
        };
        names.push(decoded(name)?);
        ports.push(port.to_owned());
    }
    let parts = [
        ("user", decoded(user)?),
        ("password", decoded(password)?),
        ("host", names.join(",")),
        ("port", ports.join(",")),
        ("dbname", decoded(dbname)?),
    ];
    let said = parts
        .into_iter()
        .filter(|(_, value)| value.chars().any(|c| c != ','));
    given.extend(said.map(|(key, value)| (key.to_owned(), value)));
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| wrong(format!("{pair:?} lacks a '='")))?;
        given.insert(decoded(key)?, decoded(value)?);
    }
    Ok(given)
}

/// `key = value` pairs; a value with spaces stands in single quotes, and a backslash before a quote or itself.
pub(super) fn pairs(text: &str) -> Result<Settings, Error> {
    let mut given = Settings::new();
    let mut left = text.chars().peekable();
    loop {
        while left.next_if(|c| c.is_whitespace()).is_some() {}
        if left.peek().is_none() {
            return Ok(given);
        }
        let mut key = String::new();
        while let Some(c) = left.next_if(|c| *c != '=' && !c.is_whitespace()) {
            key.push(c);
        }
        while left.next_if(|c| c.is_whitespace()).is_some() {}
        if left.next() != Some('=') {
            return Err(wrong(format!(
                "{key:?} lacks a '=': give postgresql://… or key=value pairs"
            )));
        }
        while left.next_if(|c| c.is_whitespace()).is_some() {}
        let is_quoted = left.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        loop {
            match left.next() {
                Some('\'') if is_quoted => break,
                Some('\\') => value.extend(left.next()),
                Some(c) if is_quoted || !c.is_whitespace() => value.push(c),
                None if is_quoted => {
                    return Err(wrong(format!(
                        "the value of {key:?} lacks its closing quote"
                    )));
                }
                _ => break,
            }
        }
        given.insert(key, value);
    }
}
