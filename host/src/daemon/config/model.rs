//! The configuration as a whole: what holds for the daemon, and the modules.

use std::{
    ffi::OsStr,
    fs,
    io::Read,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use super::{
    lex::{self, Item},
    params::{self, COUNT, DAEMON_FACILITY, Kind, Param, Value},
};
use crate::vouched::{self, Trust};

/// Files that name each other, at most.
const MAX_DEPTH: u32 = 16;

/// Values by parameter; `None`: never set.
#[derive(Debug, Clone)]
pub(crate) struct Values(Vec<Option<Value>>);

impl Default for Values {
    fn default() -> Self {
        Self(vec![None; COUNT])
    }
}

impl Values {
    fn set(&mut self, param: Param, value: Value) {
        self.0[param as usize] = Some(value);
    }

    fn get(&self, param: Param) -> Option<&Value> {
        self.0[param as usize].as_ref()
    }

    /// A text or a path, not expanded; `None`: none, or an empty one.
    pub(crate) fn text(&self, param: Param) -> Option<&[u8]> {
        let text = match (self.get(param), params::spec(param).map(|spec| spec.kind)) {
            (Some(Value::Text(text)), _) => text,
            (None, Some(Kind::Text(Some(default)))) => default.as_bytes(),
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// A number.
    pub(crate) fn int(&self, param: Param) -> i32 {
        match (self.get(param), params::spec(param).map(|spec| spec.kind)) {
            (Some(Value::Int(number)), _) => *number,
            (None, Some(Kind::Int(number))) => number,
            (None, Some(Kind::Facility)) => DAEMON_FACILITY,
            _ => 0,
        }
    }

    /// A switch.
    pub(crate) fn is(&self, param: Param) -> bool {
        match (self.get(param), params::spec(param).map(|spec| spec.kind)) {
            (Some(Value::Tri(Some(on))), _) => *on,
            (_, Some(Kind::Bool(on))) => on,
            _ => false,
        }
    }

    /// A switch that may be left open.
    pub(crate) fn tri(&self, param: Param) -> Option<bool> {
        match self.get(param) {
            Some(Value::Tri(choice)) => *choice,
            _ => None,
        }
    }
}

/// A module.
#[derive(Debug, Clone)]
pub(crate) struct Module {
    /// Its name, as clients must write it.
    pub(crate) name: Vec<u8>,
    /// Its values, the defaults included.
    pub(crate) values: Values,
}

/// A configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    /// What holds for the daemon.
    pub(crate) globals: Values,
    /// The modules, in order.
    pub(crate) modules: Vec<Module>,
    /// What was left out, for the log.
    pub(crate) complaints: Vec<String>,
}

/// Why there is no configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoConfig {
    /// A file cannot be read.
    Unreadable(PathBuf, String),
    /// A line spoils its file.
    Line(PathBuf, usize, &'static str),
    /// `--dparam` with a name that is none.
    UnknownParameter(String),
    /// Files include each other.
    TooDeep(PathBuf),
}

impl NoConfig {
    /// What is told.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Unreadable(path, why) => {
                format!("rsync: unable to open configuration file \"{}\": {why}", path.display())
            }
            Self::Line(path, line, what) => {
                format!("rsync: {what} in line {line} of the configuration file \"{}\"", path.display())
            }
            Self::UnknownParameter(name) => format!("Unknown parameter \"{name}\""),
            Self::TooDeep(path) => format!("rsync: files include each other: \"{}\"", path.display()),
        }
    }
}

impl Config {
    /// Reads a file. `dparams`: settings of the command line, `NAME=VALUE`, which end the first global part.
    pub(crate) fn load(path: &Path, dparams: &[Vec<u8>]) -> Result<Self, NoConfig> {
        let mut loader = Loader { config: Self::default(), place: None, dparams: Some(dparams), depth: 0 };
        loader.file(path)?;
        loader.end_globals()?;
        Ok(loader.finish())
    }

    /// The module of exactly this name.
    pub(crate) fn module(&self, name: &[u8]) -> Option<&Module> {
        self.modules.iter().find(|module| module.name == name)
    }
}

struct Loader<'a> {
    config: Config,
    /// The module that is being described; none: what follows are globals and defaults.
    place: Option<usize>,
    /// Settings that are still to be applied.
    dparams: Option<&'a [Vec<u8>]>,
    depth: u32,
}

impl Loader<'_> {
    fn file(&mut self, path: &Path) -> Result<(), NoConfig> {
        if self.depth == MAX_DEPTH {
            return Err(NoConfig::TooDeep(path.to_owned()));
        }
        let mut text = Vec::new();
        vouched::read(path.as_os_str().as_bytes(), Trust::Own)
            .and_then(|mut file| file.read_to_end(&mut text))
            .map_err(|e| NoConfig::Unreadable(path.to_owned(), why(&e)))?;
        self.depth += 1;
        for (line, item) in lex::items(&text) {
            let item = item.map_err(|fault| NoConfig::Line(path.to_owned(), line, fault.text()))?;
            self.item(item)?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn item(&mut self, item: Item) -> Result<(), NoConfig> {
        match item {
            Item::Section(name) => {
                self.end_globals()?;
                self.section(name);
            }
            Item::Parameter(key, value) => self.parameter(&key, &value),
            Item::Include(path) => self.include(Path::new(OsStr::from_bytes(&path)))?,
            Item::Merge(path) => {
                for file in files(Path::new(OsStr::from_bytes(&path)), b".inc")? {
                    self.file(&file)?;
                }
            }
            Item::Junk(line) => {
                let line = String::from_utf8_lossy(&line).into_owned();
                self.config.complaints.push(format!("Ignoring badly formed line in config file: {line}"));
            }
        }
        Ok(())
    }

    /// The first global part is over: now the settings of the command line count.
    fn end_globals(&mut self) -> Result<(), NoConfig> {
        for setting in self.dparams.take().unwrap_or_default() {
            let at = memchr::memchr(b'=', setting).unwrap_or(setting.len());
            let key = lex::key(&setting[..at]);
            if params::by_key(&key).is_none() {
                return Err(NoConfig::UnknownParameter(String::from_utf8_lossy(&setting[..at]).into_owned()));
            }
            let value = setting.get(at + 1..).unwrap_or_default().trim_ascii();
            self.parameter(&key, value);
        }
        Ok(())
    }

    fn section(&mut self, name: Vec<u8>) {
        let same = lex::key(&name);
        if same == "global" {
            self.place = None;
            return;
        }
        let known = self.config.modules.iter().position(|module| lex::key(&module.name) == same);
        self.place = Some(known.unwrap_or_else(|| {
            self.config.modules.push(Module { name, values: self.config.globals.clone() });
            self.config.modules.len() - 1
        }));
    }

    fn parameter(&mut self, key: &str, text: &[u8]) {
        let Some(spec) = params::by_key(key) else {
            self.config.complaints.push(format!("Unknown Parameter encountered: \"{key}\""));
            return;
        };
        if spec.global && self.place.is_some() {
            let text = format!("Global parameter {key} found in module section!");
            self.config.complaints.push(text);
            return;
        }
        let Some(value) = params::read(spec.kind, text) else {
            let shown = String::from_utf8_lossy(text);
            self.config
                .complaints
                .push(format!("Badly formed value of {key} in configuration file: \"{shown}\""));
            return;
        };
        let values = match self.place.and_then(|place| self.config.modules.get_mut(place)) {
            Some(module) => &mut module.values,
            None => &mut self.config.globals,
        };
        values.set(spec.param, value);
    }

    /// What an included file sets does not outlive it, but for its modules.
    fn include(&mut self, path: &Path) -> Result<(), NoConfig> {
        let kept = self.config.globals.clone();
        for file in files(path, b".conf")? {
            self.place = None;
            self.file(&file)?;
            self.config.globals = kept.clone();
        }
        self.place = None;
        Ok(())
    }

    /// Texts that a module has from nowhere are those of the defaults as they are in the end.
    fn finish(mut self) -> Config {
        for module in &mut self.config.modules {
            for spec in params::SPECS.iter().filter(|spec| !spec.global) {
                let text = matches!(spec.kind, Kind::Text(_) | Kind::Path);
                if text && module.values.get(spec.param).is_none() {
                    module.values.0[spec.param as usize] = self.config.globals.get(spec.param).cloned();
                }
            }
        }
        self.config
    }
}

/// A file, or the files of a directory with this ending, in the order of their bytes.
fn files(path: &Path, ending: &[u8]) -> Result<Vec<PathBuf>, NoConfig> {
    let fail = |e: std::io::Error| NoConfig::Unreadable(path.to_owned(), why(&e));
    if !fs::metadata(path).map_err(fail)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let names = fs::read_dir(path).map_err(fail)?.map(|entry| Ok(entry?.file_name().into_vec()));
    let mut names: Vec<Vec<u8>> = names.collect::<Result<_, _>>().map_err(fail)?;
    names.retain(|name| name.ends_with(ending) && !name.starts_with(b"."));
    names.sort_unstable();
    Ok(names.iter().map(|name| path.join(OsStr::from_bytes(name))).collect())
}

fn why(error: &std::io::Error) -> String {
    crate::output::strerror::of(error)
}

#[cfg(test)]
mod tests {
    use super::{super::expand, *};
    use crate::fuzz;

    fn load(files: &[(&str, &str)], dparams: &[&str]) -> Result<Config, NoConfig> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text.replace("DIR", dir.path().to_str().unwrap())).unwrap();
        }
        let dparams: Vec<_> = dparams.iter().map(|d| d.as_bytes().to_vec()).collect();
        Config::load(&dir.path().join("c"), &dparams)
    }

    fn text<'a>(config: &'a Config, module: &str, param: Param) -> Option<&'a str> {
        config.module(module.as_bytes()).unwrap().values.text(param).map(|t| core::str::from_utf8(t).unwrap())
    }

    #[test]
    fn modules_take_defaults_as_they_stand_at_the_header_and_late_texts() {
        let config = load(
            &[(
                "c",
                "comment = early\ntimeout = 3\n[a]\npath = /a/\n[global]\ncomment = late\nuid = me\ntimeout = 9\n\
                 [b]\nread only = no\n[ A ]\nlist = no\n",
            )],
            &[],
        )
        .unwrap();
        assert_eq!(config.modules.len(), 2);
        assert_eq!(text(&config, "a", Param::Comment), Some("early"));
        assert_eq!(text(&config, "a", Param::Path), Some("/a"));
        assert_eq!(text(&config, "a", Param::Uid), Some("me"));
        let a = &config.module(b"a").unwrap().values;
        assert_eq!((a.int(Param::Timeout), a.is(Param::List), a.is(Param::ReadOnly)), (3, false, true));
        let b = &config.module(b"b").unwrap().values;
        assert_eq!((b.int(Param::Timeout), b.is(Param::List), b.is(Param::ReadOnly)), (9, true, false));
        assert!(config.module(b"A").is_none());
    }

    #[test]
    fn defaults_without_a_line() {
        let config = load(&[("c", "[m]\n")], &[]).unwrap();
        let values = &config.module(b"m").unwrap().values;
        assert_eq!(text(&config, "m", Param::LockFile), Some("/var/run/rsyncd.lock"));
        assert_eq!(text(&config, "m", Param::LogFormat), Some("%o %h [%a] %m (%u) %f %l"));
        assert_eq!(values.text(Param::Path), None);
        assert_eq!((values.int(Param::MaxVerbosity), values.int(Param::SyslogFacility)), (1, 3));
        assert_eq!(values.tri(Param::UseChroot), None);
        assert_eq!(config.globals.int(Param::ListenBacklog), 5);
    }

    #[test]
    fn complaints_change_nothing() {
        let config = load(&[("c", "list = maybe\nno such = 1\nwords\n[m]\nport = 1\n")], &[]).unwrap();
        assert_eq!(config.complaints.len(), 4);
        assert_eq!(config.complaints[1], "Unknown Parameter encountered: \"nosuch\"");
        assert_eq!(config.globals.int(Param::Port), 0);
        assert!(config.module(b"m").unwrap().values.is(Param::List));
    }

    #[test]
    fn settings_of_the_command_line_end_the_first_global_part() {
        let config =
            load(&[("c", "port = 1\n[m]\ncomment = c\n[global]\nmotd file = x\n")], &["PORT=7", "list = no"])
                .unwrap();
        assert_eq!(config.globals.int(Param::Port), 7);
        assert!(!config.module(b"m").unwrap().values.is(Param::List));
        let none = load(&[("c", "")], &["foo=1"]);
        assert_eq!(none.unwrap_err(), NoConfig::UnknownParameter("foo".into()));
    }

    #[test]
    fn inclusion_is_on_its_own_and_merging_is_not() {
        let config = load(
            &[
                ("c", "comment = base\n[m]\n&merge DIR/x.inc\n&include DIR/d\nread only = no\n[z]\n"),
                ("x.inc", "list = no\n"),
                ("d/2.conf", "[two]\n"),
                ("d/1.conf", "comment = inner\nmotd file = x\n[one]\nport = 1\n"),
                ("d/skipped", "[three]\n"),
            ],
            &[],
        )
        .unwrap();
        let names: Vec<_> = config.modules.iter().map(|m| String::from_utf8_lossy(&m.name)).collect();
        assert_eq!(names, ["m", "one", "two", "z"]);
        assert!(!config.module(b"m").unwrap().values.is(Param::List));
        assert!(config.module(b"m").unwrap().values.is(Param::ReadOnly));
        assert!(!config.module(b"z").unwrap().values.is(Param::ReadOnly));
        assert_eq!(text(&config, "one", Param::Comment), Some("inner"));
        assert_eq!(text(&config, "two", Param::Comment), Some("base"));
        assert_eq!(config.globals.text(Param::MotdFile), None);
    }

    #[test]
    fn files_that_cannot_be_used() {
        assert!(matches!(load(&[("c", "a = 1\n= 2\n")], &[]), Err(NoConfig::Line(_, 2, _))));
        assert!(matches!(load(&[("c", "&include DIR/none\n")], &[]), Err(NoConfig::Unreadable(..))));
        assert!(matches!(load(&[("c", "&merge DIR/c\n")], &[]), Err(NoConfig::TooDeep(_))));
    }

    /// What a file says of other files is left out: it could be any on this machine.
    #[test]
    fn spoiled_files_make_a_configuration_or_none() {
        fuzz::run("rsyncd_conf", 4_000, |data| {
            let file = tempfile::NamedTempFile::new().unwrap();
            let text: Vec<u8> = data.iter().map(|&b| if b == b'&' { b'+' } else { b }).collect();
            fs::write(file.path(), &text).unwrap();
            let Ok(config) = Config::load(file.path(), &[]) else { return };
            for module in &config.modules {
                assert!(!module.name.is_empty() && !module.name.contains(&b'/'));
                assert!(config.module(&module.name).is_some());
                for spec in params::SPECS.iter() {
                    let value = module.values.text(spec.param).unwrap_or_default();
                    let grown = expand(value, &|name| Some(name.repeat(100).into_bytes()));
                    assert!(grown.len() <= value.len() + 2048 + value.len());
                }
            }
        });
    }
}
