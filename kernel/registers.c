#include "kernel/registers.h"

#include "kernel/backtrace.h"
#include "lib/log.h"
#include "lib/x86/cpu.h"

#define MSR_EFER 0xc0000080u

static void print_flags(u64 rflags)
{
    static const struct {
        u8 bit;
        char name[3];
    } flag[] = {{0, "CF"}, {2, "PF"},  {4, "AF"},  {6, "ZF"},  {7, "SF"}, {8, "TF"},
                {9, "IF"}, {10, "DF"}, {11, "OF"}, {14, "NT"}, {18, "AC"}};
    print("  rflags %016llx", (unsigned long long)rflags);
    for (u32 i = 0; i < ARRAY_SIZE(flag); i++)
        if (rflags >> flag[i].bit & 1)
            print(" %s", flag[i].name);
    print("\n");
}

void registers_print(const struct trap_frame *f)
{
    const struct {
        char name[4];
        u64 value;
    } reg[] = {{"rax", f->rax}, {"rbx", f->rbx}, {"rcx", f->rcx}, {"rdx", f->rdx},
               {"rsi", f->rsi}, {"rdi", f->rdi}, {"rbp", f->rbp}, {"rsp", f->rsp},
               {"r8 ", f->r8},  {"r9 ", f->r9},  {"r10", f->r10}, {"r11", f->r11},
               {"r12", f->r12}, {"r13", f->r13}, {"r14", f->r14}, {"r15", f->r15}};
    char name[96];
    backtrace_name(name, sizeof(name), f->rip);
    print("  rip %016llx  %s\n", (unsigned long long)f->rip, name);
    for (u32 i = 0; i < ARRAY_SIZE(reg); i++)
        print("  %s %016llx%s", reg[i].name, (unsigned long long)reg[i].value, i % 4 == 3 ? "\n" : "");
    print_flags(f->rflags);
    print("  cs %02llx  ss %02llx  cr0 %llx  cr2 %llx  cr3 %llx  cr4 %llx  efer %llx\n",
          (unsigned long long)f->cs, (unsigned long long)f->ss, (unsigned long long)cr0_read(),
          (unsigned long long)cr2_read(), (unsigned long long)cr3_read(), (unsigned long long)cr4_read(),
          (unsigned long long)rdmsr(MSR_EFER));
}
