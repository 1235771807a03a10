"""A person keeps the account their own: another password, other browsers out, and a way back in by the operator's link."""

from __future__ import annotations

import asyncio

from click.testing import CliRunner
from playwright.async_api import expect

from deploy.cli.users import users
from tests.browser.conftest import NewWalker
from tests.browser.walking import PASSWORD, Walker
from tests.harness.stack import Stack

NEW = "another horse battery"


async def test_the_password_is_changed_and_other_browsers_are_out(
    walker: Walker, new_walker: NewWalker, *, script: bool
) -> None:
    """A common one is refused at its field; then this browser stays, and the other is asked to sign in."""
    page, other = walker.page, await new_walker(script=script)
    other.username = walker.username
    await other.page.goto("/login")
    await other.sign_in()
    await page.goto("/")
    await walker.follow("Account")
    await expect(page.get_by_role("heading", name="Where you are signed in")).to_be_visible()
    await expect(page.get_by_text("this browser")).to_have_count(1)
    await page.get_by_label("Current password").fill(PASSWORD)
    await page.get_by_label("New password").fill("Password1")
    await walker.press("Change password")
    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text("one of the most common passwords")
    await alert.get_by_role("link").click()
    await expect(page.get_by_label("New password")).to_be_focused()
    await page.get_by_label("Current password").fill(PASSWORD)
    await page.get_by_label("New password").fill(NEW)
    await walker.press("Change password")
    await expect(page.get_by_role("status")).to_contain_text("You are signed out everywhere else.")
    await expect(page.get_by_text("You are signed in nowhere else.")).to_be_visible()
    await other.page.goto("/account")
    await expect(other.page).to_have_title("Sign in · Latchkey")
    await other.page.get_by_label("Username").fill(walker.username)
    await other.page.get_by_label("Password").fill(NEW)
    await other.press("Sign in")
    await expect(other.page).to_have_title("Account · Latchkey")
    await other.press("End all other sessions")
    await expect(other.page.get_by_role("status")).to_contain_text("You are signed out everywhere else.")
    await page.goto("/account")
    await expect(page).to_have_title("Sign in · Latchkey")


async def test_the_operators_link_survives_looking_and_works_once(
    stack: Stack, walker: Walker, new_walker: NewWalker, *, script: bool
) -> None:
    """Reloaded, left and come back to by Back; then the password is set, and the same page says that it was."""
    runner = CliRunner(env={**stack.stores.environment(), "LATCHKEY_PUBLIC_URL": stack.url})
    made = await asyncio.to_thread(runner.invoke, users, ["set-password", walker.username], "")
    link = made.stdout.strip()
    guest = await new_walker(script=script)
    page = guest.page
    await page.goto(link)
    await page.reload()
    await page.goto("/login")
    await page.go_back()
    await expect(page).to_have_title("Set a new password · Latchkey")
    await expect(page.get_by_role("main")).to_contain_text(walker.username)
    await page.get_by_label("New password").fill(NEW)
    await guest.press("Set password")
    await expect(page.get_by_role("status")).to_contain_text("Your new password is set.")
    await page.get_by_label("Username").fill(walker.username)
    await page.get_by_label("Password").fill(NEW)
    await guest.press("Sign in")
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    await page.goto(link)
    await expect(page.get_by_role("heading", name="This link leads nowhere any more")).to_be_visible()
    await walker.page.goto("/account")
    await expect(walker.page).to_have_title("Sign in · Latchkey")
