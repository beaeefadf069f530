"""All rules, as data: what each looks for, how bad that is, why, and who says so."""

from __future__ import annotations

from ptlive.analysis.audit import (
    execution,
    frames,
    isolation,
    privilege,
    registers,
    table_rules,
)
from ptlive.analysis.audit.finding import Rule, Severity
from ptlive.errors import PtliveError

RULES = (
    Rule(
        "wx-kernel",
        Severity.HIGH,
        "Supervisor pages that are writable and executable",
        "whoever can write to the kernel's memory can add code to the kernel",
        (
            "Linux Documentation/security/self-protection.rst, "
            '"Executable code and read-only data must not be writable"',
            "Linux arch/x86/mm/dump_pagetables.c, note_wx (CONFIG_DEBUG_WX)",
            "SDM vol. 3A 4.6.1",
        ),
        execution.supervisor,
    ),
    Rule(
        "wx-user",
        Severity.LOW,
        "User pages that are writable and executable",
        "a flaw in the program that writes there becomes code; compilers at run time do this",
        ("CWE-693", "SDM vol. 3A 4.6.1"),
        execution.user,
    ),
    Rule(
        "kernel-text-alias",
        Severity.MEDIUM,
        "Writable mappings of what the kernel executes",
        "that the code's own mapping is read-only does not help while another is not",
        (
            "Linux Documentation/security/self-protection.rst, "
            '"Executable code and read-only data must not be writable"',
            "CWE-123",
        ),
        execution.kernel_text,
    ),
    Rule(
        "user-text-alias",
        Severity.LOW,
        "Memory that user mode executes and may write by another address",
        "writable and executable by two addresses; compilers at run time do this",
        ("CWE-693", "SDM vol. 3A 4.6.1"),
        execution.user_text,
    ),
    Rule(
        "user-kernel-half",
        Severity.HIGH,
        "Pages of the kernel's half that user mode has access to",
        "nothing keeps programs from what lies there, not even a fault",
        ("SDM vol. 3A 4.6.1", "CWE-732"),
        privilege.user_kernel_half,
    ),
    Rule(
        "null-page",
        Severity.MEDIUM,
        "A page at address 0",
        "where the kernel follows a null pointer, it finds what a program has put there",
        ("Linux Documentation/admin-guide/sysctl/vm.rst, mmap_min_addr", "CWE-476"),
        privilege.null_page,
    ),
    Rule(
        "table-user",
        Severity.CRITICAL,
        "Page tables that user mode reaches",
        "who can write a table can map all of the machine's memory",
        ("SDM vol. 3A 4.6", "CWE-732"),
        table_rules.user,
    ),
    Rule(
        "table-kernel",
        Severity.INFO,
        "Page tables that the kernel can write",
        "one write by a flaw in the kernel can change what is mapped",
        ("SDM vol. 3A 4.6", "Linux arch/x86/mm/init.c, init_memory_mapping"),
        table_rules.supervisor,
    ),
    Rule(
        "table-levels",
        Severity.LOW,
        "Frames that are tables of more than one level",
        "an entry means another thing at each level: a table's entry becomes a page's",
        ("SDM vol. 3A 4.5",),
        table_rules.several_levels,
    ),
    Rule(
        "reserved-bits",
        Severity.MEDIUM,
        "Present entries with reserved bits set",
        "no translation comes of them: corruption, or a kernel's mark",
        ("SDM vol. 3A 4.5.4 and 4.7 (RSVD)",),
        table_rules.reserved,
    ),
    Rule(
        "table-outside",
        Severity.HIGH,
        "Entries whose table lies in no memory",
        "what the CPU reads there decides what is mapped",
        ("SDM vol. 3A 4.5.4",),
        table_rules.unreadable,
    ),
    Rule(
        "outside-ram",
        Severity.MEDIUM,
        "Pages that lie in neither RAM, ROM nor a device",
        "an access is lost, or meets whatever is plugged in there later",
        ("SDM vol. 3A 4.5.4",),
        frames.outside,
    ),
    Rule(
        "device-cached",
        Severity.MEDIUM,
        "Memory of devices that is mapped cacheable",
        "reads may be of old contents, and writes may come late or never",
        ("SDM vol. 3A 11.3 and 11.12 (12.3 and 12.12), table 11-7",),
        frames.device_cached,
    ),
    Rule(
        "alias-types",
        Severity.LOW,
        "Frames that are mapped with different memory types",
        "the manual leaves undefined what accesses by both then find",
        (
            'SDM vol. 3A 11.12.4 (12.12.4) "Programming the PAT"',
            "Linux Documentation/arch/x86/pat.rst",
        ),
        frames.alias_types,
    ),
    Rule(
        "isolation-user-root",
        Severity.HIGH,
        "Memory of the kernel in the user root of an isolation pair",
        "what is mapped there can be read by Meltdown, which isolation is to prevent",
        ("Linux Documentation/arch/x86/pti.rst", "CVE-2017-5754"),
        isolation.user_root,
    ),
    Rule(
        "isolation-user-code",
        Severity.MEDIUM,
        "User memory that is executable under the kernel root of an isolation pair",
        "a kernel that returns to user mode with its own root goes on, unnoticed",
        ("Linux arch/x86/mm/pti.c, __pti_set_user_pgtbl",),
        isolation.user_code,
    ),
    Rule(
        "isolation-global",
        Severity.MEDIUM,
        "Global pages of the kernel that are not in the user root",
        "a global translation outlives the change of the root, and with it the isolation",
        ("Linux arch/x86/mm/pti.c, pti_set_kernel_image_nonglobal", "SDM vol. 3A 4.10.2.4"),
        isolation.global_pages,
    ),
    Rule(
        "cr3-bits",
        Severity.LOW,
        "Bits of CR3 that are reserved or unexpected",
        "they are an error, or say that the root is used otherwise than it seems",
        ("SDM vol. 3A 2.5, tables 4-12 and 4-13",),
        registers.cr3,
    ),
    Rule(
        "control-wp",
        Severity.LOW,
        "CR0.WP is clear",
        "read-only pages protect nothing from the kernel",
        ("SDM vol. 3A 2.5 and 4.6.1",),
        registers.write_protect,
    ),
    Rule(
        "control-nxe",
        Severity.LOW,
        "EFER.NXE is clear",
        "no page can be made not executable",
        ("SDM vol. 3A 2.2.1 and 4.6.1",),
        registers.no_execute,
    ),
    Rule(
        "control-smep",
        Severity.INFO,
        "CR4.SMEP is clear",
        "the kernel can be made to go on in code of a program",
        ("SDM vol. 3A 4.6.1", "Linux Documentation/security/self-protection.rst"),
        registers.smep,
    ),
    Rule(
        "control-smap",
        Severity.INFO,
        "CR4.SMAP is clear",
        "the kernel can be made to take a program's data for its own",
        ("SDM vol. 3A 4.6.1", "Linux Documentation/security/self-protection.rst"),
        registers.smap,
    ),
)


def named(name: str) -> Rule:
    """Return the rule of that name. Raises PtliveError if there is none."""
    for rule in RULES:
        if rule.id == name:
            return rule
    raise PtliveError(f"there is no rule {name!r}: ptlive audit --rules lists them")
