//! Which packs to join: the smallest, up to one that is at least twice what they make together.
//!
//! So an object is written anew about once for each doubling of what there is, and the number of packs stays near the
//! logarithm of their size, as with `git repack --geometric=2`.

/// How much larger than all before it a pack must be to be left alone.
const FACTOR: u64 = 2;

/// How many of the smallest packs (`sizes` in bytes, ascending) to join; 0 or at least 2.
pub(super) fn smallest_to_join(sizes: impl IntoIterator<Item = u64>) -> usize {
    let (mut count, mut total) = (0, 0u64);
    for size in sizes {
        if count >= 2 && size >= total.saturating_mul(FACTOR) {
            break;
        }
        total = total.saturating_add(size);
        count += 1;
    }
    if count < 2 { 0 } else { count }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_large_pack_is_left_alone_until_the_small_ones_have_grown() {
        assert_eq!(smallest_to_join([]), 0);
        assert_eq!(smallest_to_join([5]), 0);
        assert_eq!(smallest_to_join([5, 500]), 2);
        assert_eq!(smallest_to_join([1, 1, 1, 500]), 3);
        assert_eq!(smallest_to_join([1, 1, 1, 5, 500]), 4);
        assert_eq!(smallest_to_join([u64::MAX, u64::MAX, u64::MAX]), 2);
    }

    proptest! {
        #[test]
        fn packs_stay_few_and_are_seldom_written_again(written in prop::collection::vec(1u64..200, 200..2000)) {
            const MOST: usize = 24;
            let (mut packs, mut copied, mut total) = (Vec::new(), 0u64, 0u64);
            for size in written {
                packs.push(size);
                total += size;
                if packs.len() > MOST {
                    packs.sort_unstable();
                    let count = smallest_to_join(packs.iter().copied());
                    let joined: u64 = packs.drain(..count).sum();
                    copied += joined;
                    packs.push(joined);
                }
                let doublings = usize::try_from(total.ilog2()).unwrap();
                prop_assert!(packs.len() <= MOST + doublings, "{} packs", packs.len());
            }
            let doublings = u64::from(total.ilog2());
            prop_assert!(copied <= total * doublings, "{copied} of {total}");
        }
    }
}
