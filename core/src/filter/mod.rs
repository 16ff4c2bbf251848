//! Filter rules.
use alloc::vec::Vec;
pub mod wild { pub fn matches(_p: &[u8], _n: &[u8]) -> bool { false } }
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterSide { Sender, Receiver }
#[derive(Debug, Default, Clone)]
pub struct FilterList;
#[derive(Debug, Clone)]
pub struct Scope;
#[derive(Debug, Clone)]
pub struct FilterError;
impl FilterError { pub fn exit_code(&self) -> crate::exit::ExitCode { crate::exit::ExitCode::SYNTAX } }
impl FilterList {
  pub fn root_scope(&self) -> Scope { Scope }
  pub fn has_dir_merge(&self) -> bool { false }
  pub fn add_from_wire(&mut self, _r: &[u8], _p: crate::version::ProtocolVersion) -> Result<(), FilterError> { Ok(()) }
  pub fn wire_rules(&self, _p: crate::version::ProtocolVersion, _s: FilterSide) -> Result<Vec<Vec<u8>>, FilterError> { Ok(Vec::new()) }
}
impl Scope {
  pub fn excludes(&self, _n: &[u8], _d: bool) -> bool { false }
  pub fn protects(&self, _n: &[u8], _d: bool, _i: bool) -> bool { false }
  pub async fn enter(&self, _d: &[u8], _read: impl AsyncFn(Vec<u8>) -> Result<Vec<u8>, crate::ports::PortError>) -> Result<Scope, FilterError> { Ok(Scope) }
}
