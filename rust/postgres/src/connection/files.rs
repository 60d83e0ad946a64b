//! What libpq reads of files: services and passwords.

use crate::connection::keys::{Environment, Settings, check_keys, wrong};
use duewheel_store::Error;
use std::path::{Path, PathBuf};

/// The settings of a service, from the file that is named or the usual ones.
pub(crate) fn service(
    named: &str,
    file: Option<String>,
    environment: &dyn Environment,
) -> Result<Settings, Error> {
    let own = environment.home().map(|home| home.join(".pg_service.conf"));
    let system = environment
        .variable("PGSYSCONFDIR")
        .map(|path| Path::new(&path).join("pg_service.conf"));
    let files: Vec<PathBuf> = match file {
        Some(file) => vec![PathBuf::from(file)],
        None => own.into_iter().chain(system).collect(),
    };
    for path in &files {
        let Ok(text) = std::fs::read_to_string(path) else {
            continue;
        };
        let mut lines = text
            .lines()
            .map(str::trim)
            .skip_while(|line| *line != format!("[{named}]"));
        if lines.next().is_none() {
            continue;
        }
        let mut found = Settings::new();
        for line in lines.take_while(|line| !line.starts_with('[')) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line
                .split_once('=')
                .ok_or_else(|| wrong(format!("{}: {line:?} lacks a '='", path.display())))?;
            found.insert(key.trim().to_owned(), value.trim().to_owned());
        }
        check_keys(&found)?;
        return Ok(found);
    }
    Err(wrong(format!(
        "the service {named:?} is in none of {files:?}"
    )))
}

/// The password that a password file has for one of the hosts. A file that others may read is passed over, as libpq does.
pub(crate) fn password_of(
    file: Option<&str>,
    environment: &dyn Environment,
    hosts: &[(String, u16)],
    dbname: &str,
    user: &str,
) -> Option<String> {
    let usual = || environment.home().map(|home| home.join(".pgpass"));
    let path = file.map(PathBuf::from).or_else(usual)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).ok()?.permissions().mode();
        if mode & 0o077 != 0 {
            return None;
        }
    }
    let text = std::fs::read_to_string(path).ok()?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let entries: Vec<Vec<String>> = lines.map(fields).collect();
    hosts.iter().find_map(|(host, port)| {
        let host = if host.starts_with('/') {
            "localhost"
        } else {
            host
        };
        let wanted = [host, &port.to_string(), dbname, user];
        let fits = |entry: &&Vec<String>| {
            entry.len() == 5
                && wanted
                    .iter()
                    .zip(*entry)
                    .all(|(wanted, field)| field == "*" || field == wanted)
        };
        entries.iter().find(fits).map(|entry| entry[4].clone())
    })
}

/// The fields of a line of a password file: between colons, but for those behind a backslash.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut left = line.chars();
    while let Some(c) = left.next() {
        let field = fields.last_mut();
        match (c, field) {
            (':', _) => fields.push(String::new()),
            ('\\', Some(field)) => field.extend(left.next()),
            (c, Some(field)) => field.push(c),
            (_, None) => {}
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_password_file_may_have_colons() {
        assert_eq!(fields("h:1:*:u\\:v:p\\\\w"), ["h", "1", "*", "u:v", "p\\w"]);
    }
}
