//! Whether a `--chmod` list obeys the grammar (spec: chmod grammar). What it does is core's business.

/// True if every item of the list is one.
pub(crate) fn is_valid(list: &[u8]) -> bool {
    !list.is_empty() && list.split(|&b| b == b',').all(is_item)
}

fn is_item(item: &[u8]) -> bool {
    let who_len = item.iter().take_while(|c| b"DFugoa".contains(c)).count();
    let (who, rest) = item.split_at(who_len);
    if who.contains(&b'D') && who.contains(&b'F') {
        return false;
    }
    match rest {
        [b'+' | b'-' | b'=', perms @ ..] => {
            perms.iter().all(|c| b"rwxXst".contains(c)) || matches!(perms, [b'u' | b'g' | b'o'])
        }
        digits => {
            let octal = digits.iter().try_fold(0u32, |n, c| {
                (b'0'..=b'7').contains(c).then(|| (n * 8 + u32::from(c - b'0')).min(1 << 20))
            });
            !digits.is_empty()
                && !who.iter().any(|c| b"ugoa".contains(c))
                && octal.is_some_and(|n| n <= 0o7777)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar() {
        for good in
            ["u+x", "Dg+s,ug+w,Fo-w,+X", "755", "D2755,F644", "u+", "a=", "g=u", "gDu=rX", "u=xt", "07777"]
        {
            assert!(is_valid(good.as_bytes()), "{good}");
        }
        for bad in ["", "x", "u+x,", ",u+x", "DF+x", "u755", "10000", "u+ux", "8", "u~x", "u+z", "F"] {
            assert!(!is_valid(bad.as_bytes()), "{bad}");
        }
    }
}
