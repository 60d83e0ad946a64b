//! Connection strings of libpq: URIs and `key=value` pairs, filled up from the environment, a service file and a password
//! file, as `psql` does.
//!
//! Source: PostgreSQL's documentation, "Database Connection Control Functions", 34.1.1 and 34.1.2.

use crate::connection::files::{password_of, service};
use crate::connection::keys::{Environment, Settings, VARIABLES, check_keys, wrong};
use crate::connection::parse::{pairs, uri};
use duewheel_store::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, LoadBalanceHosts, SslMode, TargetSessionAttrs};

/// How far the server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verify {
    /// Not at all.
    Nothing,
    /// That an authority that is trusted has signed it.
    Authority,
    /// That, and that it is the host's.
    Host,
}

/// What a connection string says.
#[derive(Clone, Debug)]
pub(crate) struct ConnInfo {
    pub(crate) config: Config,
    pub(crate) verify: Verify,
    /// The file of the authorities that are trusted; `None`: the system's.
    pub(crate) root_cert: Option<PathBuf>,
    /// Certificate and key of this client.
    pub(crate) client_cert: Option<(PathBuf, PathBuf)>,
}

impl ConnInfo {
    /// Read a connection string.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] that names the key and the value, never a password.
    pub(crate) fn read(text: &str, environment: &dyn Environment) -> Result<Self, Error> {
        let is_uri = ["postgresql://", "postgres://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        let mut given = match is_uri {
            Some(rest) => uri(rest)?,
            None => pairs(text)?,
        };
        check_keys(&given)?;
        let from_variables = |key: &str| {
            let variable = VARIABLES.iter().find(|(known, _)| *known == key);
            variable.and_then(|(_, name)| environment.variable(name))
        };
        let named = given
            .get("service")
            .cloned()
            .or_else(|| from_variables("service"));
        if let Some(named) = named {
            let file = given
                .get("servicefile")
                .cloned()
                .or_else(|| from_variables("servicefile"));
            for (key, value) in service(&named, file, environment)? {
                given.entry(key).or_insert(value);
            }
        }
        for (key, _) in VARIABLES {
            if let (false, Some(value)) = (given.contains_key(key), from_variables(key)) {
                given.insert(key.to_owned(), value);
            }
        }
        Self::of(&given, environment)
    }

    fn of(given: &Settings, environment: &dyn Environment) -> Result<Self, Error> {
        let get = |key: &str| {
            given
                .get(key)
                .map(String::as_str)
                .filter(|value| !value.is_empty())
        };
        let mut config = Config::new();
        let user = get("user")
            .map(str::to_owned)
            .or_else(|| environment.user());
        let user = user.ok_or_else(|| wrong("it names no user, and neither does PGUSER"))?;
        let dbname = get("dbname").unwrap_or(&user);
        config.user(&user).dbname(dbname);
        config.application_name(
            get("application_name")
                .or_else(|| get("fallback_application_name"))
                .unwrap_or("duewheel"),
        );
        if let Some(options) = get("options") {
            config.options(options);
        }
        let hosts = hosts(given, &mut config)?;
        if let Some(password) = get("password") {
            config.password(password);
        } else if let Some(password) =
            password_of(get("passfile"), environment, &hosts, dbname, &user)
        {
            config.password(password);
        }
        times(given, &mut config)?;
        choices(given, &mut config)?;
        let verify = security(get("sslmode"), get("sslrootcert"), &mut config)?;
        let file = |key| get(key).map(PathBuf::from);
        Ok(ConnInfo {
            config,
            verify,
            root_cert: file("sslrootcert").filter(|path| path != Path::new("system")),
            client_cert: file("sslcert").zip(file("sslkey")),
        })
    }
}

fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<T, Error> {
    value
        .trim()
        .parse()
        .map_err(|_| wrong(format!("{key} must be a whole number, not {value:?}")))
}

/// The hosts, put into the configuration; each with its port, for the password file.
fn hosts(given: &Settings, config: &mut Config) -> Result<Vec<(String, u16)>, Error> {
    let list = |key: &str| -> Vec<&str> {
        let value = given.get(key).map_or("", String::as_str);
        value.split(',').map(str::trim).collect()
    };
    let (names, addresses) = (list("host"), list("hostaddr"));
    let has_addresses = addresses != [""];
    if has_addresses && names != [""] && names.len() != addresses.len() {
        return Err(wrong("host and hostaddr name different numbers of hosts"));
    }
    let mut ports = list("port");
    let count = names.len().max(addresses.len());
    if ports.len() == 1 {
        ports = vec![ports[0]; count];
    }
    if ports.len() != count {
        return Err(wrong(format!(
            "it names {count} hosts and {} ports",
            ports.len()
        )));
    }
    let mut found = Vec::new();
    for (at, port) in ports.into_iter().enumerate() {
        let port = if port.is_empty() {
            5432
        } else {
            number("port", port)?
        };
        let name = names.get(at).copied().unwrap_or_default();
        let name = if name.is_empty() {
            default_host()
        } else {
            name
        };
        if name.starts_with('/') && cfg!(not(unix)) {
            return Err(wrong(format!(
                "{name:?} is a directory of sockets, which this system has not"
            )));
        }
        config.host(name).port(port);
        if has_addresses {
            let address = addresses[at].parse();
            let why = |_| {
                wrong(format!(
                    "hostaddr must be an IP address, not {:?}",
                    addresses[at]
                ))
            };
            config.hostaddr(address.map_err(why)?);
        }
        found.push((name.to_owned(), port));
    }
    Ok(found)
}

fn default_host() -> &'static str {
    let directories = ["/var/run/postgresql", "/tmp"];
    let there = directories
        .into_iter()
        .find(|path| cfg!(unix) && Path::new(path).join(".s.PGSQL.5432").exists());
    there.unwrap_or("localhost")
}

fn times(given: &Settings, config: &mut Config) -> Result<(), Error> {
    let get = |key: &str| given.get(key).filter(|value| !value.is_empty());
    let seconds = |key: &str| {
        get(key)
            .map(|value| number(key, value).map(Duration::from_secs))
            .transpose()
    };
    if let Some(timeout) = seconds("connect_timeout")?.filter(|timeout| !timeout.is_zero()) {
        config.connect_timeout(timeout);
    }
    if let Some(value) = get("tcp_user_timeout") {
        config.tcp_user_timeout(Duration::from_millis(number("tcp_user_timeout", value)?));
    }
    if let Some(value) = get("keepalives") {
        config.keepalives(number::<u8>("keepalives", value)? != 0);
    }
    if let Some(idle) = seconds("keepalives_idle")? {
        config.keepalives_idle(idle);
    }
    if let Some(interval) = seconds("keepalives_interval")? {
        config.keepalives_interval(interval);
    }
    if let Some(value) = get("keepalives_count") {
        config.keepalives_retries(number("keepalives_count", value)?);
    }
    Ok(())
}

fn choices(given: &Settings, config: &mut Config) -> Result<(), Error> {
    let get = |key: &str| {
        given
            .get(key)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    };
    let unknown = |key: &str, value: &str, there: &str| {
        Err(wrong(format!("{key} must be {there}, not {value:?}")))
    };
    // The jobs are written: a node on a standby could do nothing.
    config.target_session_attrs(match get("target_session_attrs").unwrap_or("read-write") {
        "any" => TargetSessionAttrs::Any,
        "read-write" | "primary" => TargetSessionAttrs::ReadWrite,
        value => {
            return unknown(
                "target_session_attrs",
                value,
                "'any', 'read-write' or 'primary': jobs are written",
            );
        }
    });
    config.channel_binding(match get("channel_binding").unwrap_or("prefer") {
        "disable" => ChannelBinding::Disable,
        "prefer" => ChannelBinding::Prefer,
        "require" => ChannelBinding::Require,
        value => return unknown("channel_binding", value, "'disable', 'prefer' or 'require'"),
    });
    config.load_balance_hosts(match get("load_balance_hosts").unwrap_or("disable") {
        "disable" => LoadBalanceHosts::Disable,
        "random" => LoadBalanceHosts::Random,
        value => return unknown("load_balance_hosts", value, "'disable' or 'random'"),
    });
    Ok(())
}

fn security(mode: Option<&str>, root: Option<&str>, config: &mut Config) -> Result<Verify, Error> {
    // As libpq: authorities that are given are asked, and the system's want the host checked as well.
    let default = if root == Some("system") {
        "verify-full"
    } else {
        "prefer"
    };
    let (mode, verify) = match mode.unwrap_or(default) {
        "disable" => (SslMode::Disable, Verify::Nothing),
        "allow" | "prefer" => (SslMode::Prefer, Verify::Nothing),
        "require" if root.is_some() => (SslMode::Require, Verify::Authority),
        "require" => (SslMode::Require, Verify::Nothing),
        "verify-ca" => (SslMode::Require, Verify::Authority),
        "verify-full" => (SslMode::Require, Verify::Host),
        value => {
            return Err(wrong(format!(
                "sslmode must be 'disable', 'prefer', 'require', 'verify-ca' or 'verify-full', not {value:?}"
            )));
        }
    };
    config.ssl_mode(mode);
    Ok(verify)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use tokio_postgres::config::Host;

    #[derive(Default)]
    struct Given {
        variables: BTreeMap<&'static str, String>,
        home: Option<PathBuf>,
    }

    impl Environment for Given {
        fn variable(&self, name: &str) -> Option<String> {
            self.variables.get(name).cloned()
        }

        fn home(&self) -> Option<PathBuf> {
            self.home.clone()
        }

        fn user(&self) -> Option<String> {
            Some("me".into())
        }
    }

    fn read(text: &str) -> ConnInfo {
        ConnInfo::read(text, &Given::default()).unwrap()
    }

    fn refused(text: &str) -> String {
        ConnInfo::read(text, &Given::default())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_uri_and_pairs_say_the_same() {
        let uri = read(
            "postgresql://app:s%40cret@db.example:6543/jobs?sslmode=verify-full&application_name=a%20b",
        );
        let pairs = read(
            "host=db.example port = 6543 user=app password='s@cret' dbname=jobs sslmode=verify-full application_name='a b'",
        );
        assert_eq!(uri.config, pairs.config);
        assert_eq!(uri.config.get_hosts(), [Host::Tcp("db.example".into())]);
        assert_eq!(
            (uri.config.get_ports(), uri.config.get_user()),
            (&[6543][..], Some("app"))
        );
        assert_eq!(uri.config.get_password(), Some(&b"s@cret"[..]));
        assert_eq!(uri.verify, Verify::Host);
        assert_eq!(uri.config.get_ssl_mode(), SslMode::Require);
    }

    #[test]
    fn several_hosts_have_a_port_each_or_share_one() {
        let config = read("postgres://a:1,[::1]:2,c/db").config;
        assert_eq!(config.get_ports(), [1, 2, 5432]);
        assert_eq!(config.get_hosts().len(), 3);
        assert_eq!(read("host=a,b port=7").config.get_ports(), [7, 7]);
        assert!(refused("host=a,b,c port=7,8").contains("3 hosts and 2 ports"));
    }

    #[test]
    fn what_is_missing_comes_from_the_environment_a_service_and_a_password_file() {
        let home = std::env::temp_dir().join(format!("duewheel-conninfo-{}", std::process::id()));
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(
            home.join(".pg_service.conf"),
            "# mine\n[other]\nport=1\n[jobs]\nhost=h\nport=99\n",
        )
        .unwrap();
        let passwords = home.join(".pgpass");
        std::fs::write(&passwords, "x:1:a:b:no\nh:99:*:u\\:v:s\\\\\\:e\n").unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&passwords, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let variables = [("PGSERVICE", "jobs"), ("PGUSER", "u:v"), ("PGPORT", "5")];
        let variables = variables
            .map(|(name, value)| (name, value.to_owned()))
            .into();
        let given = Given {
            variables,
            home: Some(home.clone()),
        };
        let config = ConnInfo::read("", &given).unwrap().config;
        assert_eq!(
            (config.get_user(), config.get_ports()),
            (Some("u:v"), &[99][..])
        );
        assert_eq!(config.get_password(), Some(&b"s\\:e"[..]));
        assert_eq!(config.get_hosts(), [Host::Tcp("h".into())]);
        assert_eq!(
            ConnInfo::read("host=other password=p", &given)
                .unwrap()
                .config
                .get_password(),
            Some(&b"p"[..])
        );
        std::fs::remove_dir_all(home).unwrap();
    }

    #[test]
    fn what_is_wrong_is_named_and_never_a_password() {
        for (text, why) in [
            (
                "postgresql://u:secret@h/db?colour=red",
                "\"colour\" is no key",
            ),
            (
                "host=h port=five password=secret",
                "port must be a whole number, not \"five\"",
            ),
            ("host=h sslmode=sometimes", "sslmode must be"),
            ("host=h target_session_attrs=standby", "jobs are written"),
            ("host=h password='secret", "lacks its closing quote"),
            ("just words", "lacks a '='"),
            ("postgresql://[::1/db", "lacks its ']'"),
            ("host=h hostaddr=there", "hostaddr must be an IP address"),
        ] {
            let said = refused(text);
            assert!(
                said.contains(why) && !said.contains("secret"),
                "{text}: {said}"
            );
        }
    }
}
