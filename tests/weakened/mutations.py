"""The small operations that make a rule worse. Each finds its place by symbol and by what is spoken of there.

A *word* is what an expression mentions: a name, an attribute, a text, `None`, or an operator such as `is not`. In the
code that an operation puts in, ``_`` stands for what was there, ``_0`` for the object whose method is called, and
``_1``, ``_2`` … for the arguments of the call or the parameters of the function. Every other name in it must be known
at that place: a weakening that only breaks the code would be noticed by any test.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass

from tests.weakened.source_tree import Definition, Module, OutdatedError
from tests.weakened.syntax import Function, Swap, expression, name_of, parameters, says, statements


@dataclass(frozen=True, slots=True)
class Mutation:
    """One operation on one symbol."""

    symbol: str
    change: Callable[[Module, Definition], int]
    """Changes the definition; how many places it found."""

    def apply(self, module: Module) -> None:
        """Changes the module's tree.

        Raises:
            OutdatedError: what is to be changed is not there.
        """
        definition = module.definitions[self.symbol.partition("@")[0]]
        if self.change(module, definition) < 1:
            raise OutdatedError(f"{self.symbol} in {module.path} has nothing of what is to be weakened")
        ast.fix_missing_locations(module.tree)


def never(symbol: str, *words: str) -> Mutation:
    """The one ``if`` whose condition mentions the words is never entered."""

    def change(module: Module, definition: Definition) -> int:
        found = [each for each in ast.walk(definition) if isinstance(each, ast.If) and says(each.test, words)]
        if len(found) > 1:
            raise OutdatedError(f"{len(found)} conditions of {symbol} mention {words}")
        for each in found:
            each.test = ast.Constant(value=False)
        return len(found)

    return Mutation(symbol, change)


def never_refuses(symbol: str, condition: str) -> Mutation:
    """The ``if`` of exactly this condition, under which nothing happens but a ``raise``, is never entered."""

    def change(module: Module, definition: Definition) -> int:
        found = [each for each in _refusals(definition) if ast.unparse(each.test) == condition]
        for each in found:
            each.test = ast.Constant(value=False)
        return len(found)

    return Mutation(symbol, change)


def refusals_of(definition: Definition) -> list[str]:
    """The conditions under which a function only refuses."""
    return [ast.unparse(each.test) for each in _refusals(definition)]


def _refusals(definition: Definition) -> list[ast.If]:
    return [
        each
        for each in ast.walk(definition)
        if isinstance(each, ast.If) and isinstance(each.body[0], ast.Raise) and not each.orelse
    ]


def without_operand(symbol: str, *words: str) -> Mutation:
    """Of an ``and`` or ``or`` the operands that mention the words are dropped."""

    def change(module: Module, definition: Definition) -> int:
        for each in ast.walk(definition):
            if isinstance(each, ast.BoolOp):
                kept = [value for value in each.values if not says(value, words)]
                if kept and len(kept) < len(each.values):
                    each.values = [*kept, ast.Constant(value=isinstance(each.op, ast.And))]
                    return 1
        return 0

    return Mutation(symbol, change)


def without_call(symbol: str, callee: str, *words: str) -> Mutation:
    """Statements that only call ``callee``, with arguments that mention the words, are dropped."""

    def is_meant(node: ast.AST) -> bool:
        value = node.value if isinstance(node, ast.Expr) else None
        call = value.value if isinstance(value, ast.Await) else value
        return isinstance(call, ast.Call) and name_of(call.func) == callee and says(call, words)

    return _replacing(symbol, is_meant, lambda _: ast.Pass())


def rewritten_call(symbol: str, callee: str, code: str, *words: str) -> Mutation:
    """Calls of ``callee`` that mention the words become another expression."""

    def replacement(module: Module, definition: Definition, node: ast.AST) -> ast.AST:
        assert isinstance(node, ast.Call)
        receiver = {"_0": node.func.value} if isinstance(node.func, ast.Attribute) else {}
        arguments = {f"_{place}": each for place, each in enumerate(node.args, 1)}
        return expression(code, {"_": node, **receiver, **arguments}, module, definition)

    def change(module: Module, definition: Definition) -> int:
        swap = Swap(
            lambda node: isinstance(node, ast.Call) and name_of(node.func) == callee and says(node, words),
            lambda node: replacement(module, definition, node),
        )
        swap.visit(definition)
        return swap.count

    return Mutation(symbol, change)


def keyword(symbol: str, name: str, code: str, *words: str) -> Mutation:
    """The keyword argument ``name`` of the calls that mention the words has another value."""

    def change(module: Module, definition: Definition) -> int:
        found = [
            argument
            for call in ast.walk(definition)
            if isinstance(call, ast.Call) and says(call, words)
            for argument in call.keywords
            if argument.arg == name
        ]
        for each in found:
            each.value = expression(code, {"_": each.value}, module, definition)
        return len(found)

    return Mutation(symbol, change)


def constant(symbol: str, code: str) -> Mutation:
    """A constant has another value."""

    def change(module: Module, definition: Definition) -> int:
        if not isinstance(definition, ast.Assign | ast.AnnAssign) or definition.value is None:
            return 0
        definition.value = expression(code, {"_": definition.value}, module, definition)
        return 1

    return Mutation(symbol, change)


def without_element(symbol: str, place: str | int) -> Mutation:
    """Of a tuple that is a constant the named function, or the element of that number, is left out."""

    def change(module: Module, definition: Definition) -> int:
        value = getattr(definition, "value", None)
        if not isinstance(value, ast.Tuple):
            return 0
        kept = [
            each
            for number, each in enumerate(value.elts)
            if place not in (number, each.id if isinstance(each, ast.Name) else None)
        ]
        found = len(value.elts) - len(kept)
        value.elts = kept
        return found

    return Mutation(symbol, change)


def uncaught(symbol: str, error: str) -> Mutation:
    """An exception is not caught any more."""

    def change(module: Module, definition: Definition) -> int:
        nothing = ast.Name(id="NotImplementedError", ctx=ast.Load())
        swap = Swap(
            lambda node: isinstance(node, ast.Name | ast.Attribute) and name_of(node) == error,
            lambda _: nothing,
        )
        for each in ast.walk(definition):
            if isinstance(each, ast.ExceptHandler) and each.type is not None:
                each.type = swap.visit(each.type)
        return swap.count

    return Mutation(symbol, change)


def result(symbol: str, code: str) -> Mutation:
    """Whatever a function returns is changed on its way."""

    def change(module: Module, definition: Definition) -> int:
        found = [each for each in ast.walk(definition) if isinstance(each, ast.Return) and each.value]
        for each in found:
            assert each.value is not None
            each.value = expression(code, {"_": each.value}, module, definition)
        return len(found)

    return Mutation(symbol, change)


def before(symbol: str, code: str) -> Mutation:
    """A function does something else first; with ``return`` it does nothing but that."""

    def change(module: Module, definition: Definition) -> int:
        assert isinstance(definition, Function)
        definition.body[:0] = statements(code, parameters(definition), module, definition)
        return 1

    return Mutation(symbol, change)


def after_call(symbol: str, callee: str, code: str, *words: str) -> Mutation:
    """Something else is done after the statement that calls ``callee`` with arguments that mention the words."""

    def is_meant(node: ast.AST) -> bool:
        return any(
            isinstance(each, ast.Call) and name_of(each.func) == callee and says(each, words)
            for each in ast.walk(node)
        )

    def change(module: Module, definition: Definition) -> int:
        assert isinstance(definition, Function)
        added = statements(code, parameters(definition), module, definition)
        places = [place for place, each in enumerate(definition.body) if is_meant(each)]
        if len(places) == 1:
            definition.body[places[0] + 1 : places[0] + 1] = added
        return len(places)

    return Mutation(symbol, change)


def without_line(symbol: str, *texts: str) -> Mutation:
    """The one line of a Lua script that holds all the texts is dropped."""

    def change(module: Module, definition: Definition) -> int:
        found = 0
        for each in ast.walk(definition):
            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                lines = each.value.splitlines(keepends=True)
                kept = [line for line in lines if not all(text in line for text in texts)]
                found += len(lines) - len(kept)
                each.value = "".join(kept)
        if found > 1:
            raise OutdatedError(f"{found} lines of {symbol} hold {texts}")
        return found

    return Mutation(symbol, change)


def _replacing(
    symbol: str, is_meant: Callable[[ast.AST], bool], make: Callable[[ast.AST], ast.AST]
) -> Mutation:
    def change(module: Module, definition: Definition) -> int:
        swap = Swap(is_meant, make)
        swap.visit(definition)
        return swap.count

    return Mutation(symbol, change)
