// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Does nothing, and needs nothing of its root: what each runtime starts in tests/bench/sandbox.sh.
 * (A program of glibc's asks the processor what it can do, which in a virtual machine takes 0.6 ms
 * of every row alike.)
 */
int main(void)
{
    return 0;
}
