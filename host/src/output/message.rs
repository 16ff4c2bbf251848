//! tmp
use std::{rc::Rc, cell::RefCell};
#[derive(Debug, Default)]
pub(crate) struct Roots { pub(crate) dest: Vec<u8>, pub(crate) bases: Rc<RefCell<Vec<Vec<u8>>>> }
